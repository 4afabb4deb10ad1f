"""The vote allocation that is provably best, under risk, a limited number of gauges, and limited turnover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum
from typing import Literal

import numpy as np

from decide.errors import DecisionError, Infeasible
from decide.voting.optimum import checks
from decide.voting.optimum.branch import LITTLE, Effort, Found, Search
from decide.voting.optimum.build import build, units_of, why_none
from decide.voting.optimum.curve import Floats
from decide.voting.optimum.model import Model, Vote
from decide.voting.optimum.pieces import Pool, Risk
from decide.voting.optimum.rounding import whole

Status = Literal["optimal", "feasible"]
PROOF = Effort()
RISKS = ("none", "worst", "cvar", "semidev", "regret")


@dataclass(frozen=True)
class Problem:
    """N gauges in S scenarios: where to put `power` votes.

    Maximize E − λ·D, E = Σ_s w_s Ret_s, Ret_s(x) = Σ_i R_is·x_i / (V_is + x_i), subject to Σ x_i = power, x_i = 0 or
    min_votes ≤ x_i ≤ cap_i, at most k_max gauges, Σ (x_i − p_i)+ ≤ max_turnover·power; x in whole `unit`s.

    votes: V (N, S), everybody else's, in votes; rewards: R (N, S) in USD; weights: w (S,), summing to 1.
    risk: the downside D, one of `RISKS` (decide.voting.optimum.pieces has the formulas); risk_aversion: λ in [0, 1];
    alpha: the tail of cvar, in (0, 1]. max_turnover: None, or a share ≥ 0; previous: p (N,), rescaled to the power; no
    limit holds if it is None or all zero (the first vote). caps: (N,) in votes, inf for none. unit: the step of votes.
    base: (S,) USD that fixed votes earn whatever is voted, part of every return; best: (S,) the Opt_s of regret, solved
    first where it is None.
    """

    votes: Floats
    rewards: Floats
    power: float
    weights: Floats
    min_votes: float
    k_max: int
    risk: str = "none"
    risk_aversion: float = 0.0
    alpha: float = 0.25
    max_turnover: float | None = None
    previous: Floats | None = None
    caps: Floats | None = None
    unit: float = 1
    base: Floats | None = None
    best: Floats | None = None


@dataclass(frozen=True)
class Allocation:
    """The best votes in whole units, their worth, and the proof: no allocation is worth more than `bound`.

    All amounts in USD, votes in votes. `objective`, `bound` and `gap` = (bound − objective) / |objective| are of
    `votes`, the `continuous_` ones of the optimum before rounding. Where the objective is near 0, gaps are relative to
    a thousandth of what one gauge can pay. `status` is optimal when both gaps are within the tolerance, else feasible:
    the gaps say how far from the proof the search stopped.
    """

    votes: Floats  # (N,) whole units
    objective: float
    bound: float
    gap: float
    status: Status
    continuous: Floats  # (N,)
    continuous_objective: float
    continuous_bound: float
    continuous_gap: float
    expected_return: float
    downside: float
    risk_term: float  # λ·D, what the objective takes off the expected return
    scenario_returns: Floats  # (S,) the base included
    gauge_returns: Floats  # (N, S)
    gauge_expected: Floats  # (N,)
    marginal: Floats  # (N,) USD per vote that one more unit would add to the objective
    share: Floats  # (N,) of the votes
    gauges_used: int
    turnover: float  # Σ (x − p)+ in votes, p rescaled; 0 for a first vote
    turnover_share: float
    turnover_limit: float | None  # votes; None where no limit holds
    nodes: int  # bounds computed


def solve(problem: Problem, effort: Effort = PROOF) -> Allocation:
    """The best allocation and its proof.

    effort: the gap that counts as proof, and the nodes to bound at most (never a time: the same input gives the same
    answer). Votes that are no whole number of units are left unused. Where previous votes
    are no whole units the turnover limit may be missed by less than a unit a gauge; `turnover` then says so.
    Errors: DecisionError for inputs that cannot be used, Infeasible where no allocation satisfies every limit,
    NothingToGain where every reward is zero.
    """
    votes, rewards, weights = _arrays(problem)
    units = units_of(checks.number(problem.power, "power", 0, above=True), problem.unit)
    risk = Risk(problem.risk, weights, problem.risk_aversion, problem.alpha)
    model, scale = build(
        votes, rewards, units, problem.unit, problem.min_votes, problem.k_max, risk,
        _floats(problem.caps), _floats(problem.previous), problem.max_turnover,
    )  # fmt: skip
    if problem.base is not None:
        model = replace(
            model, risk=replace(model.risk, base=checks.array(problem.base, "base", (len(weights),)) / scale)
        )
    if risk.kind == "regret":
        best = _best_alone(model, effort) if problem.best is None else np.asarray(problem.best) / scale
        model = replace(model, risk=replace(model.risk, best=best))
    found = Search(model, Pool(model.risk, model.votes, model.rewards), effort).run()
    if found.vote is None:
        raise Infeasible(why_none(model, units * problem.unit, found.nodes >= effort.max_nodes))
    rounded = whole(model, found.pool.pieces, found.vote)
    return _described(problem, model, scale, units, found, _in_units(model, found, rounded, effort), effort.tolerance)


def _best_alone(model: Model, effort: Effort) -> Floats:
    """Opt_s (S,): the best reachable in each scenario alone, under the same limits."""
    best, finer = np.zeros(len(model.votes)), replace(effort, tolerance=1e-3 * effort.tolerance)
    for s, only in enumerate(np.eye(len(best))):
        alone = replace(model, risk=Risk("none", only, 0.0, 1.0, base=model.risk.base))
        found = Search(alone, Pool(alone.risk, model.votes, model.rewards), finer).run()
        if found.vote is None:
            raise Infeasible(why_none(model, 1 / model.grid, found.nodes >= effort.max_nodes))
        best[s] = found.vote.value
    return best


def _in_units(model: Model, found: Found, rounded: Vote, effort: Effort) -> Found:
    """The best whole votes and their bound: the continuous bound where that proves them, else a search of their own."""
    over = model.moved(rounded) - (1 - model.keep)
    is_proved = found.bound <= rounded.value + effort.tolerance * max(abs(rounded.value), LITTLE)
    is_settled = effort.settle_nodes is not None and effort.is_spent(found.nodes, found.bound, rounded.value)
    if over <= 1e-9 * model.grid and (is_proved or is_settled):
        return replace(found, vote=rounded)
    coarse = replace(model, keep=min(model.keep, 1 - model.moved(rounded))) if model.previous is not None else model
    own = Search(coarse, found.pool, effort, on_grid=True, best=rounded).run()
    bound = own.bound if over > 1e-9 * model.grid else min(own.bound, found.bound)
    return replace(own, bound=bound, nodes=found.nodes + own.nodes)


def _floats(values: Floats | None) -> Floats | None:
    return None if values is None else np.asarray(values, dtype=np.float64)


def _arrays(problem: Problem) -> tuple[Floats, Floats, Floats]:
    """V, R and w, after a look at every field."""
    shape = np.shape(problem.votes)
    if len(shape) != 2 or not shape[0] or not shape[1]:
        raise DecisionError(f"votes has shape {shape}: give one row per gauge and one column a scenario, one at least")
    votes = checks.array(problem.votes, "votes", shape)
    rewards = checks.array(problem.rewards, "rewards", shape)
    weights = checks.array(problem.weights, "weights", (shape[1],))
    if abs(float(weights.sum()) - 1) > 1e-9:
        raise DecisionError(f"weights sum to {weights.sum():.12g}: give scenario weights that sum to 1")
    checks.number(problem.min_votes, "min_votes", 0)
    checks.whole_number(problem.k_max, "k_max", 1)
    checks.one_of(problem.risk, "risk", RISKS)
    checks.number(problem.risk_aversion, "risk_aversion", 0, 1)
    checks.number(problem.alpha, "alpha", 0, 1, above=True)
    checks.number(problem.unit, "unit", 0, above=True)
    if problem.max_turnover is not None:
        checks.number(problem.max_turnover, "max_turnover", 0)
    if problem.previous is not None:
        checks.array(problem.previous, "previous", (shape[0],))
    if problem.caps is not None:
        checks.array(problem.caps, "caps", (shape[0],), infinite=True)
    return votes, rewards, weights


def _described(
    problem: Problem, model: Model, scale: float, units: int, found: Found, counted: Found, tolerance: float
) -> Allocation:
    """Everything in votes and USD again; `found` is the continuous answer, `counted` the one in whole units."""
    assert found.vote is not None and counted.vote is not None
    power, best, base = units * problem.unit, model.risk.best, model.risk.base
    risk = replace(model.risk, best=None if best is None else best * scale, base=None)
    votes, rewards = np.asarray(problem.votes, dtype=np.float64), np.asarray(problem.rewards, dtype=np.float64)
    x, continuous = np.zeros(len(votes)), np.zeros(len(votes))
    x[counted.vote.gauges] = np.round(counted.vote.x * units) * problem.unit
    fits = model.moved(counted.vote) <= 1 - model.keep
    free = counted.vote if fits and counted.vote.value > found.vote.value else found.vote
    continuous[free.gauges] = free.x * power
    each = gauge_returns(votes, rewards, x)
    returns = np.array([fsum(column) for column in each.T.tolist()]) + (0.0 if base is None else base * scale)
    objective, mix, _ = risk.worst_piece(returns)
    expected = float(risk.weights @ returns)
    bound = max(counted.bound * scale, objective)
    gap, continuous_gap = _gap(bound / scale, objective / scale), _gap(found.bound, free.value)
    moved, limit = _turnover(problem, x, power)
    return Allocation(
        votes=x,
        objective=objective,
        bound=bound,
        gap=gap,
        status="optimal" if max(gap, continuous_gap) <= tolerance else "feasible",
        continuous=continuous,
        continuous_objective=free.value * scale,
        continuous_bound=found.bound * scale,
        continuous_gap=continuous_gap,
        expected_return=expected,
        downside=(expected - objective) / problem.risk_aversion if problem.risk_aversion else 0.0,
        risk_term=expected - objective,
        scenario_returns=returns,
        gauge_returns=each,
        gauge_expected=each @ risk.weights,
        marginal=(gauge_returns(votes, rewards, x + problem.unit) - each) @ mix / problem.unit,
        share=x / power,
        gauges_used=int(np.count_nonzero(x)),
        turnover=moved,
        turnover_share=moved / power,
        turnover_limit=limit,
        nodes=counted.nodes,
    )


def _gap(bound: float, value: float) -> float:
    """Relative gap of values in the model's scale."""
    return max(bound - value, 0.0) / max(abs(value), LITTLE)


def _turnover(problem: Problem, x: Floats, power: float) -> tuple[float, float | None]:
    """Votes that moved and their limit. A first vote moves nothing."""
    previous = _floats(problem.previous)
    if previous is None or not previous.any():
        return 0.0, None
    moved = float(np.maximum(x - previous * (power / previous.sum()), 0.0).sum())
    return moved, None if problem.max_turnover is None else problem.max_turnover * power


def gauge_returns(votes: Floats, rewards: Floats, own: Floats) -> Floats:
    """USD per gauge and scenario (N, S) of own votes (N,) among others' votes (N, S) for rewards (N, S)."""
    total = votes + own[:, None]
    share = np.divide(own[:, None], total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(rewards * share)
