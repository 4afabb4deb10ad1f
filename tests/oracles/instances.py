"""Problems to solve: families that look like voting epochs, and awkward ones on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decide.errors import Infeasible
from decide.voting.allocate import RISKS, Problem, solve
from decide.voting.optimum.branch import Effort
from tests.oracles.allocation import Case

FAMILIES = ("epoch", "lognormal", "ties", "chasing")


def family(name: str, gauges: int, scenarios: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """V, R (N, S): every gauge pays more from scenario to scenario, but in `chasing`, where votes follow rewards."""
    if name == "ties":
        rewards = 100 * (1 + 1e-3 * rng.standard_normal(gauges))
        votes = 1e5 * (1 + 1e-3 * rng.standard_normal(gauges))
    elif name == "lognormal":
        rewards, votes = rng.lognormal(4, 1.5, gauges), rng.lognormal(11, 1.5, gauges)
    else:
        rewards = rng.lognormal(4, 1.4, gauges)
        votes = rewards * rng.lognormal(6.5, 1.0, gauges) + 1000
    if name == "chasing":
        more = rng.lognormal(0, 0.5, (gauges, scenarios))
        return votes[:, None] * rng.lognormal(0, 0.5, (gauges, scenarios)) * more**0.7, rewards[:, None] * more
    steps = np.arange(scenarios) / max(scenarios - 1, 1)
    fewer = 1.25 - 0.25 * steps + 0.3 * (1 - steps) * rng.random((gauges, 1))
    return votes[:, None] * fewer, rewards[:, None] * (1 + 0.3 * steps + 0.4 * steps * rng.random((gauges, 1)))


def awkward(seed: int, gauges: int, most: int) -> Problem:
    """Empty gauges, worthless gauges, caps, tight and impossible turnover, any risk, up to 4 scenarios."""
    rng = np.random.default_rng(seed)
    n, s = int(rng.integers(1, gauges)), int(rng.integers(1, 5))
    k = int(rng.integers(1, min(n, most) + 2))
    votes, rewards = family(str(rng.choice(FAMILIES)), n, s, rng)
    if rng.random() < 0.3:
        votes[rng.random(n) < 0.3] = 0
    if rng.random() < 0.2:
        votes[rng.random(votes.shape) < 0.1] = 0
    if rng.random() < 0.3:
        rewards[rng.random(n) < 0.3] = 0
    power = float(rng.integers(500_000, 2_000_000))
    least = float(rng.choice([power // 500, power // k if rng.random() < 0.3 else power // (2 * k + 1)]))
    weights = rng.dirichlet(np.ones(s))
    previous, turnover = None, None
    if rng.random() < 0.5:
        held = int(rng.integers(1, n + 1))
        previous = np.zeros(n)
        previous[rng.choice(n, held, replace=False)] = np.round(rng.dirichlet(np.ones(held)) * 1e6) + 1
        turnover = float(rng.choice([0.1, 0.3, 0.8, 1.0, 1.5]))
    caps = np.where(rng.random(n) < 0.5, np.inf, np.floor(rng.uniform(0, power, n))) if rng.random() < 0.3 else None
    return Problem(
        votes=np.round(votes), rewards=np.round(rewards, 2), power=power, weights=weights / weights.sum(),
        min_votes=least, k_max=k, risk=str(rng.choice(RISKS)), risk_aversion=float(rng.choice([0, 0.2, 0.5, 1])),
        alpha=float(rng.choice([0.1, 0.25, 0.6, 1])), max_turnover=turnover, previous=previous, caps=caps,
    )  # fmt: skip


def case_of(problem: Problem) -> Case:
    """The same problem as the oracles read it."""
    power, previous, movable = problem.power, None, np.inf
    if problem.previous is not None and problem.max_turnover is not None:
        previous = problem.previous * power / problem.previous.sum()
        movable = problem.max_turnover * power
    most = np.full(len(problem.votes), power) if problem.caps is None else np.minimum(problem.caps, power)
    return Case(
        problem.votes, problem.rewards, power, problem.weights, max(problem.min_votes, 1.0), most, problem.k_max,
        problem.risk, problem.risk_aversion, problem.alpha, previous, movable,
    )  # fmt: skip


def best_alone(problem: Problem) -> list[float]:
    """Opt_s for regret: the optimum of each scenario alone, which other tests certify."""
    if problem.risk != "regret":
        return []
    best = []
    for s, only in enumerate(np.eye(len(problem.weights))):
        alone = replace(problem, risk="none", risk_aversion=0.0, weights=only)
        try:
            best.append(
                solve(alone, Effort(tolerance=1e-9)).continuous_objective if problem.rewards[:, s].any() else 0.0
            )
        except Infeasible:
            best.append(0.0)
    return best
