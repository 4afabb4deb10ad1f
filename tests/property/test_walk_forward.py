"""Forecasts against a slow oracle, and the law of point in time: nothing known later moves anything decided earlier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.decision_tables import seed_rows
from decide.constants import forecast_rules, thresholds
from decide.evaluate import coverage, pinball
from decide.forecast import LEVELS, NEVER, ForecastRules, Panel, apply_move, move, walk_forward
from decide.quantiles import Sample, fallback_shares, mixture_quantiles, pooled_shares, support

WEEK = 604_800 * 1_000_000


@pytest.fixture(scope="module")
def rules() -> ForecastRules:
    return forecast_rules(seed_rows("forecast_candidates"), thresholds(seed_rows("thresholds")))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    n = draw(st.integers(1, 25))
    ints = lambda high: np.array(draw(st.lists(st.integers(0, high), min_size=n, max_size=n)))  # noqa: E731
    values = draw(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0, 2.0]), min_size=n, max_size=n))
    weights = draw(st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=n, max_size=n))
    return Sample(np.array(values), np.array(weights), ints(3), ints(2), ints(4))


@given(samples(), st.sampled_from([1.0, 6.0, 24.0]))
def test_mixture_quantiles_equal_a_slow_oracle(sample: Sample, strength: float) -> None:
    gauge, cluster = np.array([0, 1, 5]), np.array([0, 2, 1])
    held = support(sample, gauge, cluster)
    own, near = pooled_shares(held, strength)
    got = mixture_quantiles(sample, gauge, cluster, (own, near), LEVELS)
    for m in range(3):
        parts = [(sample.gauge == gauge[m], own[m]), (sample.cluster == cluster[m], (1 - own[m]) * near[m])]
        parts.append((np.ones(len(sample.value), bool), (1 - own[m]) * (1 - near[m])))
        points: dict[float, float] = {}
        for rows, share in parts:
            total = sample.weight[rows].sum()
            for value, weight in zip(sample.value[rows], sample.weight[rows], strict=True):
                points[value] = points.get(value, 0.0) + share * weight / total
        below = 0.0
        reached = {}
        for value in sorted(points):
            below += points[value]
            for level in LEVELS:
                if below >= level - 1e-9:
                    reached.setdefault(level, value)
        assert [reached[level] for level in LEVELS] == got[m].tolist()


def test_shares_follow_how_much_there_is() -> None:
    sample = Sample(np.zeros(12), np.ones(12), np.repeat([0, 1], 6), np.zeros(12, int), np.tile(np.arange(6), 2))
    held = support(sample, np.array([0, 7]), np.array([0, 3]))
    assert pooled_shares(held, 6.0)[0].tolist() == [0.5, 0.0]
    assert pooled_shares(held, 6.0)[1].tolist() == [12 / 18, 0.0]
    assert [s.tolist() for s in fallback_shares(held, 6, 4)] == [[1.0, 0.0], [1.0, 0.0]]
    assert [s.tolist() for s in fallback_shares(held, 7, 7)] == [[0.0, 0.0], [0.0, 0.0]]


def panel(epochs: int, gauges: int, seed: int, spread: float = 0.3) -> tuple[Panel, np.ndarray]:
    """A stationary exchange: each gauge has its own late drift; labels are known ten seconds after the boundary."""
    chance = np.random.default_rng(seed)
    epoch, gauge = np.repeat(np.arange(epochs), gauges), np.tile(np.arange(gauges), epochs)
    drift = chance.normal(0, spread, gauges)[gauge] + chance.normal(0, 0.2, epochs * gauges)
    votes, rewards = chance.lognormal(10, 1, epochs * gauges), chance.lognormal(6, 1, epochs * gauges)
    made = Panel(
        epoch=epoch,
        gauge=gauge,
        votes=votes,
        rewards=rewards,
        decision_at=(epoch + 1) * WEEK - 300_000_000,
        known_at=(epoch + 1) * WEEK + 10_000_000,
    )
    return made, move(votes, votes * np.exp(drift), 1_000.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 7), st.integers(0, 2**31))
def test_the_future_moves_nothing(rules: ForecastRules, epoch: int, seed: int) -> None:
    made, moves = panel(8, 12, 3)
    before = walk_forward(made, moves, rules)
    late = made.known_at >= made.decision_at[made.epoch == epoch].min()
    chance = np.random.default_rng(seed)
    garbage = np.where(late, chance.normal(0, 5, len(moves)), moves)
    future = made.epoch > epoch
    other = replace(
        made,
        votes=np.where(future, chance.lognormal(3, 2, len(moves)), made.votes),
        rewards=np.where(future, 0.0, made.rewards),
    )
    after = walk_forward(other, garbage, rules)
    seen = ~future
    for one, two in ((before.quantiles, after.quantiles), (before.own_share, after.own_share)):
        assert np.array_equal(one[seen], two[seen])
    assert np.array_equal(before.chosen[seen], after.chosen[seen])
    assert (before.trained_until[seen] < made.decision_at[seen]).all()


def test_a_label_known_before_moves_the_forecast(rules: ForecastRules) -> None:
    made, moves = panel(8, 12, 3)
    touched = np.where(made.epoch == 4, moves + 1.0, moves)
    before, after = walk_forward(made, moves, rules), walk_forward(made, touched, rules)
    assert not np.array_equal(before.quantiles[made.epoch == 5], after.quantiles[made.epoch == 5])
    assert np.array_equal(before.quantiles[made.epoch <= 4], after.quantiles[made.epoch <= 4])


def test_without_history_the_forecast_is_the_snapshot_and_says_so(rules: ForecastRules) -> None:
    made, moves = panel(1, 5, 1)
    found = walk_forward(made, moves, rules)
    assert (found.quantiles == 0).all() and set(found.level(rules)) == {"none"} and (found.trained_until == -1).all()
    unknown = replace(made, known_at=np.full(5, NEVER))
    assert (walk_forward(unknown, np.full(5, np.nan), rules).quantiles == 0).all()


def test_intervals_cover_what_they_promise(rules: ForecastRules) -> None:
    made, moves = panel(30, 60, 11)
    found = walk_forward(made, moves, rules)
    late = made.epoch >= 8
    assert (np.diff(found.quantiles, axis=1) >= 0).all()
    assert 0.75 <= coverage(moves[late], found.quantiles[late, 0], found.quantiles[late, 4]) <= 0.87
    assert 0.44 <= coverage(moves[late], found.quantiles[late, 1], found.quantiles[late, 3]) <= 0.58
    assert set(found.level(rules)[late]) == {"gauge"}


def test_pooling_beats_the_plain_rule_on_young_gauges_and_is_chosen(rules: ForecastRules) -> None:
    made, moves = panel(6, 60, 5)
    late = made.epoch >= 2
    loss = {}
    for place, candidate in enumerate(rules.candidates):
        alone = walk_forward(made, moves, replace(rules, candidates=(candidate,), default=0))
        loss[place] = pinball(moves[late], alone.quantiles[late], LEVELS).mean()
    plain = next(p for p, c in enumerate(rules.candidates) if c.pooling == "fallback")
    assert min(loss.values()) < 0.97 * loss[plain]
    chosen = walk_forward(made, moves, rules).chosen[made.epoch == 5]
    assert plain not in chosen


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0.5, 1e4))
def test_moves_go_back_to_where_they_came_from(before: float, after: float, floor: float) -> None:
    """Additive from nothing, relative from much, never below nothing."""
    there = move(np.array([before]), np.array([after]), floor)
    assert apply_move(np.array([before]), there, floor)[0] == pytest.approx(
        after, rel=1e-9, abs=1e-9 * (before + floor)
    )
    assert apply_move(np.array([before]), np.array([-50.0]), floor)[0] == 0.0
