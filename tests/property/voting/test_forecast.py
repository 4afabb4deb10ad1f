"""The forecaster against slow oracles: mixtures point by point, the whole walk epoch by epoch, and what it may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.columns import NEVER
from decide.quantiles import Sample, fallback_shares, mixture_quantiles, pooled_shares, support
from decide.voting.forecast import LEVELS, Candidate, Forecast, ForecastRules, Panel, clusters, walk_forward
from tests.decision_fixtures import WEEK, Floats, rules

RULES = replace(
    rules(min_calibration_epochs=2, min_gauge_epochs=3, min_cluster_epochs=2),
    candidates=(
        Candidate("plain", "fallback", 0, "reward", 3, 0),
        Candidate("near", "pooled", 2, "gap", 4, 0),
        Candidate("fading", "pooled", 6, "reward", 2, 1.5),
    ),
    default=1,
)


# Mixtures


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    n = draw(st.integers(1, 20))

    def column(elements: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(elements, min_size=n, max_size=n))

    values = column(st.one_of(st.sampled_from([-1.0, 0.0, 0.5]), st.floats(-3, 3)))
    weights = column(st.floats(0.01, 1))
    gauge, cluster, epoch = (np.array(column(st.integers(0, high)), dtype=np.int64) for high in (3, 2, 4))
    return Sample(np.array(values), np.array(weights), gauge, cluster, epoch)


def weighted_points(sample: Sample, gauge: int, cluster: int, own: float, near: float) -> list[tuple[float, Fraction]]:
    """The mixture written out: every observation once for each part it belongs to, in exact numbers."""
    a, b = Fraction(own), Fraction(near)
    parts = [(a, sample.gauge == gauge), ((1 - a) * b, sample.cluster == cluster), ((1 - a) * (1 - b), None)]
    points: list[tuple[float, Fraction]] = []
    for share, member in parts:
        rows = range(len(sample.value)) if member is None else np.flatnonzero(member)
        weights = [Fraction(float(sample.weight[i])) for i in rows]
        points += [(float(sample.value[i]), share * w / sum(weights)) for i, w in zip(rows, weights, strict=True)]
    return sorted(points)


@settings(max_examples=60, deadline=None)
@given(
    samples(),
    st.one_of(st.floats(0.5, 30), st.none()),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4),
)
def test_a_quantile_is_the_least_value_with_that_much_weight(
    sample: Sample, strength: float | None, levels: list[float]
) -> None:
    gauge, cluster = np.array([0, 1, 3, 9]), np.array([0, 2, 2, 7])
    held = support(sample, gauge, cluster)
    own, near = fallback_shares(held, 3, 2) if strength is None else pooled_shares(held, strength)
    found = mixture_quantiles(sample, gauge, cluster, (own, near), np.array(levels))
    for m in range(len(gauge)):
        points = weighted_points(sample, gauge[m], cluster[m], own[m], near[m])
        assert sum(weight for _, weight in points) == 1
        for value, level in zip(found[m], levels, strict=True):
            assert value in sample.value
            assert sum(w for v, w in points if v <= value) >= level - 1e-9
            assert sum(w for v, w in points if v < value) < level + 1e-9


@given(samples(), st.floats(0.5, 30))
def test_shares_are_credibility_and_claim_nothing_from_nothing(sample: Sample, strength: float) -> None:
    gauge, cluster = np.arange(6), np.arange(6) % 4
    held = support(sample, gauge, cluster)
    own, near = pooled_shares(held, strength)
    for m in range(6):
        weight = sample.weight[sample.gauge == gauge[m]].sum()
        around = sample.weight[sample.cluster == cluster[m]].sum()
        assert own[m] == pytest.approx(weight / (weight + strength)) and near[m] == pytest.approx(
            around / (around + strength)
        )
        seen = sample.epoch[sample.cluster == cluster[m]]
        assert held.cluster_epochs[m] == len(set(seen.tolist()))
        assert held.gauge_epochs[m] == (sample.gauge == gauge[m]).sum()


# The walk


@st.composite
def panels(draw: st.DrawFn) -> tuple[Panel, Floats]:
    """Seven epochs, five to nine gauges, some absent, empty or unrewarded, labels known early, late, or never."""
    return drawn_panel(draw(st.integers(0, 2**32 - 1)))


def drawn_panel(seed: int, epochs: int = 7) -> tuple[Panel, Floats]:
    chance = np.random.default_rng(seed)
    gauges = int(chance.integers(5, 10))
    epoch, gauge = np.repeat(np.arange(epochs), gauges), np.tile(np.arange(gauges), epochs)
    kept = chance.random(len(epoch)) < 0.9
    epoch, gauge = epoch[kept], gauge[kept]
    n = len(epoch)
    decision_at = (epoch + 1) * WEEK - 300_000_000
    lag = chance.choice([10_000_000, WEEK - 300_000_000, WEEK - 300_000_001, 2 * WEEK], n)  # at, and just before
    known_at = np.where(chance.random(n) < 0.1, NEVER, (epoch + 1) * WEEK + lag)
    votes = np.where(chance.random(n) < 0.15, 0.0, chance.lognormal(9, 1, n))
    rewards = np.where(chance.random(n) < 0.15, 0.0, chance.lognormal(5, 1, n))
    moves = np.where(known_at == NEVER, np.nan, chance.normal(0.1 * gauge, 0.5, n))
    return Panel(epoch, gauge, votes, rewards, decision_at, known_at), moves


def slow_quantiles(points: Sequence[tuple[float, float]]) -> list[float]:
    found = []
    for level in LEVELS:
        below = 0.0
        for value, weight in sorted(points):
            below += weight
            if below >= level - 1e-10:
                found.append(value)
                break
    return found


def slow_walk(panel: Panel, moves: Floats, rules: ForecastRules) -> tuple[list[list[float]], list[int]]:
    """The method as its document tells it, row by row, with nothing shared between candidates or epochs."""
    n = len(panel.epoch)
    codes = [clusters(panel, c.cluster_by, c.clusters, rules) for c in rules.candidates]
    raw: dict[tuple[int, int], list[float]] = {}
    losses: dict[tuple[int, int], float] = {}
    residuals: dict[int, list[float]] = {}
    final, chosen = [[0.0] * len(LEVELS) for _ in range(n)], [rules.default] * n
    for epoch in sorted(set(panel.epoch.tolist())):
        rows = [i for i in range(n) if panel.epoch[i] == epoch]
        now = min(panel.decision_at[i] for i in rows)
        known = [i for i in range(n) if panel.known_at[i] < now]
        scored = [i for i in known if (0, i) in losses]
        past = [np.mean([losses[c, i] for i in scored]) if scored else 0.0 for c in range(len(rules.candidates))]
        best = int(np.argmin(past)) if scored else rules.default
        calibrated = [i for i in known if i in residuals]
        for i in rows:
            chosen[i] = best
            if not known:
                continue
            for c, candidate in enumerate(rules.candidates):
                raw[c, i] = slow_quantiles(slow_mixture(panel, moves, known, codes[c], i, candidate, rules))
            final[i] = list(raw[best, i])
            if len({panel.epoch[j] for j in calibrated}) >= max(rules.min_calibration_epochs, 1):
                for q, level in enumerate(LEVELS):
                    if level != 0.5:
                        errors = sorted(residuals[j][q] for j in calibrated)
                        final[i][q] += errors[int(np.ceil(level * len(errors) - 1e-9)) - 1]
                final[i].sort()
            if np.isfinite(moves[i]):
                residuals[i] = [moves[i] - z for z in raw[best, i]]
                for c in range(len(rules.candidates)):
                    errors = [moves[i] - z for z in raw[c, i]]
                    each = [max(p * x, (p - 1) * x) for p, x in zip(LEVELS, errors, strict=True)]
                    losses[c, i] = float(np.mean(each))
    return final, chosen


def slow_mixture(
    panel: Panel, moves: Floats, known: list[int], codes: Floats, i: int, candidate: Candidate, rules: ForecastRules
) -> list[tuple[float, float]]:
    order = sorted(set(panel.epoch.tolist()))
    age = {j: order.index(panel.epoch[i]) - order.index(panel.epoch[j]) for j in known}
    weight = {j: 0.5 ** (age[j] / candidate.half_life) if candidate.half_life else 1.0 for j in known}
    own = [j for j in known if panel.gauge[j] == panel.gauge[i]]
    near = [j for j in known if codes[j] == codes[i]]
    if candidate.pooling == "pooled":
        a, b = (sum(weight[j] for j in part) for part in (own, near))
        a, b = a / (a + candidate.strength), b / (b + candidate.strength)
    else:
        a = float(len(own) >= rules.min_gauge_epochs)
        b = float(len({int(panel.epoch[j]) for j in near}) >= rules.min_cluster_epochs)
    points = []
    for share, part in ((a, own), ((1 - a) * b, near), ((1 - a) * (1 - b), known)):
        points += [(float(moves[j]), share * weight[j] / sum(weight[k] for k in part)) for j in part]
    return points


@pytest.mark.parametrize("seed", range(12))
def test_the_walk_equals_a_slow_one(seed: int) -> None:
    panel, moves = drawn_panel(seed, epochs=9)
    found = walk_forward(panel, moves, RULES)
    quantiles, chosen = slow_walk(panel, moves, RULES)
    assert found.chosen.tolist() == chosen
    assert np.allclose(found.quantiles, quantiles, rtol=0, atol=1e-12)
    assert (found.quantiles != 0).any() and (found.calibration_rows > 0).any(), "the walk never left its start"


def columns(found: Forecast, rows: Floats) -> list[list[float]]:
    """Everything a forecast says about some rows."""
    plain = [getattr(found, f.name) for f in fields(found) if f.name != "held"]
    return [column[rows].tolist() for column in (*plain, *vars(found.held).values())]


@settings(max_examples=25, deadline=None)
@given(panels(), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_what_is_not_known_yet_moves_nothing(made: tuple[Panel, Floats], epoch: int, seed: int) -> None:
    """Labels not known before the decision, one microsecond or weeks late, and every row of later epochs: garbage."""
    panel, moves = made
    if epoch not in panel.epoch:
        return
    now = panel.decision_at[panel.epoch == epoch].min()
    chance, later = np.random.default_rng(seed), panel.epoch > epoch
    n = len(moves)
    changed = replace(
        panel,
        votes=np.where(later, chance.lognormal(3, 3, n), panel.votes),
        rewards=np.where(later, chance.lognormal(3, 3, n), panel.rewards),
        gauge=np.where(later, chance.integers(0, 40, n), panel.gauge),
    )
    garbage = np.where(panel.known_at >= now, chance.normal(0, 50, n), moves)
    seen = ~later
    honest = columns(walk_forward(panel, moves, RULES), seen)
    assert columns(walk_forward(changed, garbage, RULES), seen) == honest
    cut = Panel(**{name: column[seen] for name, column in vars(panel).items()})
    assert columns(walk_forward(cut, garbage[seen], RULES), np.ones(seen.sum(), bool)) == honest


@pytest.mark.parametrize("seed", range(6))
def test_what_was_known_just_before_does_move_it(seed: int) -> None:
    """The twin of the test above: a label known a microsecond before the decision counts, one at the decision not."""
    panel, moves = drawn_panel(seed)
    now = int(panel.decision_at[panel.epoch == 4].min())
    row = int(np.flatnonzero((panel.epoch == 2) & np.isfinite(moves))[0])
    touched = np.where(np.arange(len(moves)) == row, 40.0, moves)
    asked = panel.epoch == 4
    forecasts = {}
    for known_at in (now - 1, now):
        at = replace(panel, known_at=np.where(np.arange(len(moves)) == row, known_at, panel.known_at))
        before, after = (walk_forward(at, m, RULES) for m in (moves, touched))
        forecasts[known_at] = np.array_equal(before.quantiles[asked], after.quantiles[asked])
        used = before.sample_rows[asked][0]
        assert used == ((at.known_at < now) & np.isfinite(moves)).sum()
    assert forecasts[now] and not forecasts[now - 1]


@settings(max_examples=20, deadline=None)
@given(panels(), st.integers(0, 2**32 - 1))
def test_neither_order_nor_names_matter(made: tuple[Panel, Floats], seed: int) -> None:
    panel, moves = made
    chance = np.random.default_rng(seed)
    order = np.lexsort((chance.random(len(moves)), panel.epoch))
    mixed = Panel(**{name: column[order] for name, column in vars(panel).items()})
    renamed = replace(mixed, gauge=chance.permutation(30)[mixed.gauge])
    found, other = walk_forward(panel, moves, RULES), walk_forward(renamed, moves[order], RULES)
    assert np.array_equal(found.quantiles[order], other.quantiles)
    assert np.array_equal(found.cluster[order], other.cluster) and np.array_equal(found.chosen[order], other.chosen)
