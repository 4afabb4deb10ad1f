"""Scores of probabilities against slow oracles, and what intervals by cluster promise."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.errors import DecisionError
from decide.markets.score_tables import market_score_intervals
from decide.markets.scores import (
    brier_rows,
    chance_of_difference,
    clustered_mean,
    log_growth_rows,
    log_rows,
    murphy,
    time_weighted,
    wilson,
)

ROWS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=80)


def mean(values, clusters, **changes):  # type: ignore[no-untyped-def]
    return clustered_mean(values, clusters, **{"level": 0.9, "draws": 500, "seed": 1, "least_clusters": 5, **changes})


@given(ROWS)
def test_scores_of_rows_are_what_the_formulas_say(rows: list[tuple[float, int]]) -> None:
    p, y = zip(*rows, strict=True)
    assert brier_rows(p, y) == pytest.approx([(a - b) ** 2 for a, b in rows])
    expected = [-math.log(min(max(a if b else 1 - a, 0.001), 0.999)) for a, b in rows]
    assert log_rows(p, y, 0.001) == pytest.approx(expected, abs=1e-9)


@given(ROWS)
def test_murphy_adds_up_to_the_brier_score_of_binned_forecasts(rows: list[tuple[float, int]]) -> None:
    place = [min(int(p * 10), 9) for p, _ in rows]
    middle = {k: float(np.mean([p for (p, _), at in zip(rows, place, strict=True) if at == k])) for k in set(place)}
    p, y = [middle[k] for k in place], [float(b) for _, b in rows]
    parts = murphy([a for a, _ in rows], y, 10)
    assert parts.reliability - parts.resolution + parts.uncertainty == pytest.approx(
        np.mean(brier_rows(p, y)), abs=1e-9
    )
    assert parts.reliability >= 0 and parts.resolution >= 0


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_bands_hold_the_share_and_solve_their_equation(n: int, part: float) -> None:
    k = round(part * n)
    (low,), (high,) = wilson([k], [n], 0.95)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1
    for edge in (low, high):
        if 0 < edge < 1:
            assert abs(k / n - edge) == pytest.approx(1.959964 * math.sqrt(edge * (1 - edge) / n), rel=1e-4, abs=1e-7)


def test_the_order_of_rows_and_the_size_of_a_chunk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    values, clusters = rng.normal(size=200), [f"e{n}" for n in rng.integers(40, size=200)]
    first = mean(values, clusters)
    order = rng.permutation(200)
    assert mean(values[order], [clusters[n] for n in order]) == first
    monkeypatch.setattr("decide.markets.scores.CHUNK", 40 * 7)
    assert mean(values, clusters).low == pytest.approx(first.low)


def test_rows_that_share_their_fate_do_not_make_it_surer() -> None:
    rng = np.random.default_rng(2)
    events = rng.normal(size=60)
    once = mean(events, [f"e{n:02}" for n in range(60)])
    tenfold = mean(np.repeat(events, 10), [f"e{n:02}" for n in range(60) for _ in range(10)])
    assert (once.low, once.high) == pytest.approx((tenfold.low, tenfold.high))
    naive = mean(np.repeat(events, 10), [str(n) for n in range(600)])
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_intervals_cover_what_they_promise_with_events_of_different_size() -> None:
    rng, hits, tries = np.random.default_rng(11), 0, 300
    for number in range(tries):
        sizes = rng.integers(1, 6, size=40)
        clusters = [f"e{k:02}" for k, size in enumerate(sizes) for _ in range(size)]
        values = np.repeat(rng.normal(size=40), sizes) + 0.5 * rng.normal(size=sizes.sum())
        found = mean(values, clusters, draws=400, seed=number)
        hits += found.low <= 0 <= found.high
    assert 0.86 <= hits / tries <= 0.94  # 90 % promised, standard error 0.017


def test_too_few_events_say_so() -> None:
    found = mean([0.1, 0.2, 0.3], ["a", "b", "b"])
    assert math.isnan(found.low) and found.reason == "2 events; at least 5 are needed"
    same = mean([0.2] * 6, list("abcdef"))
    assert (same.low, same.high) == (same.estimate, same.estimate)
    with pytest.raises(DecisionError):
        mean([], [])
    with pytest.raises(DecisionError):
        brier_rows([1.2], [1])


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_time_weighted_counts_each_market_once(rows: list[tuple[float, int, int]]) -> None:
    losses, seconds, markets = zip(*rows, strict=True)
    expected = []
    for market in set(markets):
        mine = [(loss, s) for loss, s, m in rows if m == market]
        expected.append(sum(loss * s for loss, s in mine) / sum(s for _, s in mine))
    assert time_weighted(losses, [str(m) for m in markets], seconds) == pytest.approx(float(np.mean(expected)))


def test_a_fair_price_earns_nothing_on_average_and_a_full_kelly_bet_earns_most() -> None:
    grown = [
        0.6 * a + 0.4 * b
        for a, b in zip(
            log_growth_rows([0.1, 0.2, 0.3], [0.5] * 3, [1] * 3),
            log_growth_rows([0.1, 0.2, 0.3], [0.5] * 3, [0] * 3),
            strict=True,
        )
    ]
    assert max(grown) == grown[1] > 0  # (0.6 - 0.5) / (1 - 0.5) = 0.2


def test_the_same_price_written_in_two_ways_is_not_better_than_itself() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.01, 0.99, 200)
    y = rng.integers(0, 2, 200)
    brier = (p - y) ** 2
    columns = {
        "experiment": ["same"] * 200,
        "experiment_version": ["1"] * 200,
        "horizon_kind": ["all"] * 200,
        "horizon": ["all"] * 200,
        "market_id": [f"{n}" for n in range(200)],
        "run_id": ["r"] * 200,
        "event_cluster": [f"{n // 2}" for n in range(200)],
        "snapshot_at": list(range(200)),
        "probability": p,
        "market_probability": p,
        "label": y.astype(float),
        "brier": brier,
        "market_brier": brier * (1 - 1e-15) - 1e-17,
    }
    names = {"bootstrap_level": 0.9, "bootstrap_draws": 200, "bootstrap_seed": 1, "score_least_count": 30}
    constants = [{"threshold": k, "value": v} for k, v in {**names, "score_least_events": 10}.items()]
    (row,) = market_score_intervals(pa.table(columns), constants).to_pylist()
    assert (row["difference_low"], row["difference_high"]) == (0.0, 0.0) and row["event_count"] == 100
    worse = pa.table({**columns, "market_brier": brier - 0.01})
    assert market_score_intervals(worse, constants).to_pylist()[0]["difference_low"] == pytest.approx(0.01)
    few = market_score_intervals(pa.table(columns).slice(0, 29), constants)
    assert few.num_rows == 0


def rare(seed: int, events: int, shade: float) -> pa.Table:
    """Fair prices of rare outcomes, three snapshots of one market an event; an experiment that shades them all down."""
    rng = np.random.default_rng(seed)
    price = np.repeat(rng.uniform(0.02, 0.12, events), 3)
    label = np.repeat((rng.random(events) < price[::3]).astype(float), 3)
    p = price * shade
    columns = {name: [name] * (3 * events) for name in ("experiment", "experiment_version")}
    columns |= {"horizon_kind": ["all"] * len(p), "horizon": ["all"] * len(p), "run_id": ["r"] * len(p)}
    columns |= {name: [f"{n // 3:03}" for n in range(len(p))] for name in ("market_id", "event_cluster")}
    numbers = {"snapshot_at": np.arange(len(p)), "probability": p, "market_probability": price, "label": label}
    return pa.table({**columns, **numbers, "brier": (p - label) ** 2, "market_brier": (price - label) ** 2})


CONSTANTS = {"bootstrap_level": 0.9, "bootstrap_draws": 400, "bootstrap_seed": 1, "score_least_count": 30}
SCORING = [{"threshold": k, "value": v} for k, v in {**CONSTANTS, "score_least_events": 10}.items()]


@pytest.mark.parametrize("events", [10, 20, 40])
def test_few_rare_events_prove_no_experiment_better(events: int) -> None:
    """Shading rare prices down is worse, and looks better while none of them happens: the interval falls for it."""
    found = [market_score_intervals(rare(n, events, 0.7), SCORING).to_pylist()[0] for n in range(200)]
    fooled = np.mean([row["difference_high"] < 0 for row in found])
    better = np.mean([row["verdict"] == "better" for row in found])
    assert better <= 0.08, "five per cent are promised"
    assert events > 20 or fooled > 0.25, "nothing to protect from: this proves nothing"


def test_an_experiment_that_knows_is_still_found_better() -> None:
    rng = np.random.default_rng(4)
    right = rng.uniform(0.05, 0.95, 60)
    label = (rng.random(60) < right).astype(float)
    names = [f"{n:02}" for n in range(60)]
    price = np.clip(right + rng.choice([-0.3, 0.3], 60), 0.02, 0.98)
    better, worse = chance_of_difference((right, price), names, names, label, draws=2000, seed=1)
    assert better < 0.01 and worse > 0.05
    turned = chance_of_difference((price, right), names, names, label, draws=2000, seed=1)
    assert turned[1] < 0.01 and turned[0] > 0.05


def test_chances_of_a_single_market_are_its_price() -> None:
    """One market at 0.3 that did not happen: if the market is right that comes in 70 of 100 draws."""
    better, worse = chance_of_difference(([0.1], [0.3]), ["m"], ["e"], [0.0], draws=20_000, seed=1)
    assert better == pytest.approx(0.7, abs=0.02) and worse == pytest.approx(1.0, abs=1e-9)
    happened = chance_of_difference(([0.1], [0.3]), ["m"], ["e"], [1.0], draws=20_000, seed=1)
    assert happened[0] == 1.0 and happened[1] == pytest.approx(0.1, abs=0.02)


def test_outcomes_of_an_event_exclude_each_other_where_there_is_room() -> None:
    """Three outcomes of an event that add up to 1: one of them happens, so a shift of all by as much is no news."""
    p, m = [0.4, 0.3, 0.3], [0.5, 0.25, 0.25]
    better, worse = chance_of_difference((p, m), list("abc"), ["e"] * 3, [1.0, 0, 0], draws=20_000, seed=1)
    assert better == 1.0 and worse == pytest.approx(0.4, abs=0.02)


def test_slices_by_horizon_share_their_error() -> None:
    parts = [rare(n, 20, 1.5).set_column(2, "horizon_kind", pa.array(["to_end"] * 60)) for n in range(4)]
    named = [part.set_column(3, "horizon", pa.array([f"h{n}"] * 60)) for n, part in enumerate(parts)]
    rows = market_score_intervals(pa.concat_tables([rare(9, 20, 1.5), *named]), SCORING).to_pylist()
    assert sorted(row["comparison_count"] for row in rows) == [1, 4, 4, 4, 4]
