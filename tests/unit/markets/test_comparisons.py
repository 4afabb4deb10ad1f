"""Comparisons on the same markets: right against a slow oracle, few false verdicts among many, and how many more."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from decide.errors import DecisionError
from decide.markets.comparison_tables import experiment_comparisons
from decide.markets.comparisons import compare, corrected, verdict

LEAST = {"least_rows": 30, "least_clusters": 10}
WISH = {"level": 0.9, "power": 0.8, "of_interest": 0.01}


def test_with_one_row_per_event_it_is_the_t_test() -> None:
    x = np.random.default_rng(1).normal(0.01, 0.1, 60)
    found = compare(x, [str(n) for n in range(60)], **LEAST)
    theirs = stats.ttest_1samp(x, 0)
    assert (found.difference, found.p_value) == (pytest.approx(x.mean()), pytest.approx(theirs.pvalue))
    (one,) = corrected([found], **WISH)
    low, high = theirs.confidence_interval(0.9)
    assert (one.low, one.high, one.p_adjusted) == (
        pytest.approx(low),
        pytest.approx(high),
        pytest.approx(found.p_value),
    )


def test_rows_of_one_event_are_one_observation() -> None:
    """The same row ten times over is no more evidence than once."""
    x = np.random.default_rng(2).normal(0, 0.1, 40)
    names = [str(n) for n in range(40)]
    once, often = compare(x, names, **LEAST), compare(np.repeat(x, 10), np.repeat(names, 10).tolist(), **LEAST)
    assert often.error == pytest.approx(once.error) and often.p_value == pytest.approx(once.p_value)


def test_holm_is_holm() -> None:
    rng = np.random.default_rng(3)
    family = [compare(rng.normal(shift, 0.1, 50), [str(n) for n in range(50)], **LEAST) for shift in (0, 0.02, 0.05, 0)]
    found = corrected(family, **WISH)
    order = sorted(range(4), key=lambda n: family[n].p_value)
    running = 0.0
    for rank, n in enumerate(order):
        running = max(running, min(1.0, (4 - rank) * family[n].p_value))
        assert found[n].p_adjusted == pytest.approx(running)
        assert (verdict(found[n], 0.9) == "undecided") is (running > 0.1)


def test_among_ten_experiments_without_a_difference_hardly_ever_one_looks_better() -> None:
    """Uncorrected, one of ten is 'decided' at 10 % in two of three tries; corrected, in at most one of ten."""
    rng, wrong, naive = np.random.default_rng(4), 0, 0
    events = np.repeat(np.arange(40), 3).astype(str).tolist()
    for _ in range(200):
        shared = np.repeat(rng.normal(0, 0.05, (10, 40)), 3, axis=1) + rng.normal(0, 0.05, (10, 120))
        family = [compare(row, events, **LEAST) for row in shared]
        naive += any(each.p_value < 0.1 for each in family)
        wrong += any(verdict(each, 0.9) != "undecided" for each in corrected(family, **WISH))
    assert naive > 100 and wrong <= 30, (naive, wrong)


def test_a_difference_of_the_detectable_size_is_found_as_often_as_said_and_after_so_many_more() -> None:
    rng, found, grown = np.random.default_rng(5), 0, 0
    names = [str(n) for n in range(400)]
    (plan,) = corrected([compare(rng.normal(0, 0.1, 100), names[:100], **LEAST)], **WISH)
    many = [str(n) for n in range(100 + int(plan.more))]
    for _ in range(300):
        (one,) = corrected([compare(rng.normal(plan.detectable, 0.1, 100), names[:100], **LEAST)], **WISH)
        found += verdict(one, 0.9) == "worse"
        (two,) = corrected([compare(rng.normal(0.01, 0.1, len(many)), many, **LEAST)], **WISH)
        grown += verdict(two, 0.9) == "worse"
    assert 200 < found < 280 and 200 < grown < 285, (found, grown)


def test_what_cannot_be_told_says_why() -> None:
    few = compare([0.1] * 20, ["e"] * 20, **LEAST)
    assert few.reason is not None and "20 forecasts of 1 events" in few.reason
    same = compare([0.0] * 40, [str(n) for n in range(40)], **LEAST)
    assert same.reason == "they do not differ"
    (left,) = corrected([same], **WISH)
    assert verdict(left, 0.9) == "not_judged" and math.isnan(left.low)
    with pytest.raises(DecisionError):
        corrected([], level=1.0, power=0.8, of_interest=0.01)


def test_pairs_are_of_the_same_markets_and_snapshots_and_the_foreknown_are_left_out() -> None:
    rows = []
    for n in range(60):
        about = {"run_id": "r", "market_id": str(n), "event_cluster": str(n), "is_foreknown": False}
        rows.append({**about, "experiment": "market_price", "experiment_version": "1", "brier": 0.2})
        if n < 50:
            rows.append({**about, "experiment": "good", "experiment_version": "1", "brier": 0.1 + n % 3 * 0.01})
        rows.append({**about, "experiment": "knew", "experiment_version": "1", "brier": 0.0, "is_foreknown": True})
        if n >= 40:
            rows.append({**about, "experiment": "other", "experiment_version": "9", "brier": 0.2 + n % 2 * 0.01})
    names = {"score_least_count": 30, "score_least_events": 10, "bootstrap_level": 0.9, "score_power": 0.8}
    names["score_difference_of_interest"] = 0.01
    thresholds = [{"threshold": name, "value": value} for name, value in names.items()]
    made = {
        (r["experiment"], r["reference"]): r
        for r in experiment_comparisons(pa.Table.from_pylist(rows), thresholds).to_pylist()
    }
    assert set(made) == {("good", "market_price"), ("other", "market_price"), ("good", "other")}
    good = made["good", "market_price"]
    assert (good["paired_count"], good["verdict"], good["comparison_count"]) == (50, "better", 1)
    assert made["other", "market_price"]["verdict"] == "not_judged"
    assert (made["good", "other"]["paired_count"], made["good", "other"]["family"]) == (10, "pairs")
