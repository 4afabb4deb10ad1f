"""What is claimed of an allocation does not hang on how a machine rounds.

Other machines round otherwise: their linear algebra adds in another order. Here the order is changed instead (gauges
and scenarios permuted, split into twins, scaled by odd factors), and bounds are recomputed in rational numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decide.errors import Infeasible, NothingToGain
from decide.voting.allocate import Problem, solve
from decide.voting.optimum import branch, relax
from decide.voting.optimum.branch import Effort
from tests.oracles.instances import awkward, family
from tests.oracles.rational import Gauge, dual, worth

F = Fraction
STUCK = 16  # two worthless pieces level and votes that stay worth as much as votes: no interior point is found


def same_problems(problem: Problem, seed: int) -> Iterator[tuple[str, float, Problem]]:
    """The problem said in other ways, and the factor of its worth."""
    rng = np.random.default_rng(seed)
    gauges, scenarios = problem.votes.shape
    order, turn = rng.permutation(gauges), rng.permutation(scenarios)
    yield (
        "permuted",
        1.0,
        replace(
            problem,
            votes=problem.votes[order][:, turn],
            rewards=problem.rewards[order][:, turn],
            weights=problem.weights[turn],
            previous=None if problem.previous is None else problem.previous[order],
            caps=None if problem.caps is None else problem.caps[order],
        ),
    )
    part = rng.uniform(0.1, 0.9, scenarios)
    yield (
        "scenarios split into twins",
        1.0,
        replace(
            problem,
            votes=np.hstack([problem.votes, problem.votes]),
            rewards=np.hstack([problem.rewards, problem.rewards]),
            weights=np.concatenate([problem.weights * part, problem.weights * (1 - part)]),
        ),
    )
    factor = float(rng.choice([1 / 3, 7.0, 1e-5 / 7, 12_345.678, 3e6 / 7]))
    yield "scaled", factor, replace(problem, rewards=problem.rewards * factor)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
@example(STUCK)
def test_the_order_of_sums_changes_nothing(seed: int) -> None:
    problem = awkward(seed, gauges=25, most=8)
    try:
        made = solve(problem)
    except NothingToGain:
        return
    except Infeasible:
        for _, _, same in same_problems(problem, seed):
            with pytest.raises(Infeasible):
                solve(same)
        return
    little = 1e-3 * float(problem.rewards.max())
    assert made.continuous_gap <= 1e-6
    for name, factor, same in same_problems(problem, seed):
        other = solve(same)
        assert other.continuous_gap <= 1e-6, name
        off = abs(other.continuous_objective / factor - made.continuous_objective)
        assert off <= 2e-6 * max(abs(made.continuous_objective), little), name
        off = abs(other.objective / factor - made.objective)
        assert off <= 2e-6 * max(abs(made.objective), little) + max(other.gap, made.gap) * abs(made.objective), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["none", "worst", "cvar", "semidev"]))
def test_a_gauge_split_in_two_is_worth_the_same(seed: int, risk: str) -> None:
    """Parts a and 1 − a of V and R share votes as the whole does, where neither a minimum nor K counts gauges."""
    rng = np.random.default_rng(seed)
    gauges = int(rng.integers(2, 12))
    votes, rewards = family("chasing", gauges, 3, rng)
    part = rng.uniform(0.2, 0.8, (gauges, 1))
    whole = Problem(votes, rewards, 1e6, np.array([0.25, 0.5, 0.25]), 0.0, gauges, risk, 0.3)
    halves = replace(
        whole,
        votes=np.vstack([votes * part, votes * (1 - part)]),
        rewards=np.vstack([rewards * part, rewards * (1 - part)]),
        k_max=2 * gauges,
    )
    one, two = solve(whole), solve(halves)
    assert one.continuous_gap <= 1e-6 and two.continuous_gap <= 1e-6
    assert two.continuous_objective == pytest.approx(one.continuous_objective, rel=2e-6)


@pytest.mark.parametrize("seed", [STUCK, *range(40, 64)])
def test_a_certificate_holds_in_rational_arithmetic(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bound that the search used is at least the exact dual at its multipliers, and hardly more."""
    checked = 0
    true_relax = relax.relax

    def recomputed(model: Any, pieces: Any, gauges: Any, forced: Any, start: Any, on_grid: bool) -> relax.Relaxed:
        nonlocal checked
        found = true_relax(model, pieces, gauges, forced, start, on_grid)
        if on_grid or checked > 12 or len(gauges) > 12:
            return found
        checked += 1
        mix = [F(0)] * len(model.votes)
        share = [F(float(part)) for part in found.prices.share]
        for part, row in zip(share, pieces.mixes, strict=True):
            mix = [m + part / sum(share) * F(float(q)) for m, q in zip(mix, row, strict=True)]
        offset = sum((p / sum(share) * F(float(c)) for p, c in zip(share, pieces.offsets, strict=True)), F(0))
        held = None if model.previous is None else model.previous[gauges]
        rows = [
            Gauge(
                tuple(F(float(v)) for v in model.votes[:, g]),
                tuple(q * F(float(r)) for q, r in zip(mix, model.rewards[:, g], strict=True)),
                F(float(model.low[g])),
                F(float(model.high[g])),
                None if held is None else F(float(held[i])),
            )
            for i, g in enumerate(gauges)
        ]
        price, stay = F(float(found.prices.price)), F(float(found.prices.stay) if held is not None else 0.0)
        below, above = dual(rows, list(forced), model.count, offset, price, stay, F(float(model.keep)))
        assert F(float(found.bound)) >= below, "a bound below the dual that it claims"
        room = 1e-9 * (1 + abs(float(price)) + float(stay))
        assert float(F(float(found.bound)) - above) <= room, "a bound far above its dual"
        for row, gain in zip(rows, found.gain, strict=True):
            assert F(float(gain)) >= row.most(price, stay)[0], "a gain below its exact one"
        return found

    monkeypatch.setattr(relax, "relax", recomputed)
    monkeypatch.setattr(branch, "relax", recomputed)
    problem = awkward(seed, gauges=14, most=5)
    try:
        made = solve(problem)
    except (Infeasible, NothingToGain):
        return
    exact = worth(problem.votes.tolist(), problem.rewards.tolist(), made.votes.tolist())
    for claimed, true in zip(made.scenario_returns, exact, strict=True):
        assert abs(F(float(claimed)) - true) <= F(1, 10**14) * true
    assert checked > 0 or len(problem.votes) > 12
    mean = sum((F(float(w)) * r for w, r in zip(problem.weights, exact, strict=True)), F(0))
    if problem.risk == "none" or problem.risk_aversion == 0:
        assert mean <= F(made.bound) * (1 + F(1, 10**15))
    if problem.risk == "worst":
        value = (1 - F(problem.risk_aversion)) * mean + F(problem.risk_aversion) * min(exact)
        assert value <= F(made.bound) * (1 + F(1, 10**15))


def test_equal_gauges_cost_no_search() -> None:
    """600 gauges of which any can stand in for any: their order decides, not the search."""
    for noise in (0.0, 1e-9):
        rng = np.random.default_rng(3)
        votes = np.tile(1e5 * (1 + noise * rng.standard_normal((600, 1))), (1, 3))
        rewards = np.tile(np.array([90.0, 100.0, 120.0]), (600, 1))
        previous = np.zeros(600)
        previous[rng.choice(600, 5, replace=False)] = rng.dirichlet(np.ones(5)) * 1.7e6
        weights = np.array([0.25, 0.5, 0.25])
        problem = Problem(votes, rewards, 1.7e6, weights, 50_000.0, 5, "worst", 0.2, 0.25, 0.5, previous)
        made = solve(problem)
        assert made.status == "optimal" and made.nodes <= 10


def test_a_search_may_settle_for_less_and_says_so() -> None:
    """After `settle_nodes` a gap of `settle_gap` will do: `feasible`, with the true gap."""
    rng = np.random.default_rng(5)
    votes, rewards = family("chasing", 300, 3, rng)
    previous = np.zeros(300)
    previous[rng.choice(300, 20, replace=False)] = rng.dirichlet(np.ones(20)) * 1e6
    weights = np.array([0.25, 0.5, 0.25])
    problem = Problem(votes, rewards, 1e6, weights, 1000.0, 20, "worst", 0.2, 0.25, 0.3, previous)
    full = solve(problem)
    settled = solve(problem, Effort(settle_nodes=1, settle_gap=0.5))
    assert settled.nodes < full.nodes and settled.gap <= 0.5
    assert settled.objective <= full.bound and full.objective <= settled.bound
    assert settled.status == "feasible" or settled.gap <= 1e-6
