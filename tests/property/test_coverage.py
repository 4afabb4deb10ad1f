"""Intervals cover what they promise: 2,000 simulated series of each kind and length, epochs that share their fate."""

from __future__ import annotations

import numpy as np
import pytest

from decide.coverage import IntervalCoverage
from decide.thresholds import thresholds
from decide.voting.forecast import Panel, walk_forward
from tests.decision_fixtures import WEEK, Floats, rules, seed_rows
from tests.oracles.coverage import LENGTHS, SERIES, coverage

SEED = seed_rows("interval_coverage")
VALUES = thresholds(seed_rows("thresholds"))
KNOWN = IntervalCoverage.of(SEED, VALUES["coverage_tolerance"])


@pytest.mark.parametrize("length", LENGTHS)
def test_intervals_of_means_cover_what_they_promise(length: int) -> None:
    """At least nominal less three points for every kind of series, and no more than three points above it."""
    least, most = coverage("mean", length)
    assert 0.87 <= least <= most <= 0.93
    (row,) = [r for r in SEED if (r["statistic"], r["observations"]) == ("mean", length)]
    assert (row["least"], row["most"]) == pytest.approx((least, most), abs=5e-4), "the seed says what was simulated"
    assert KNOWN.is_shown("mean", length) and KNOWN.said("mean", length) is None


@pytest.mark.parametrize("length", [4, 8])
def test_the_seed_says_what_resampled_medians_cover(length: int) -> None:
    (row,) = [r for r in SEED if (r["statistic"], r["observations"]) == ("median", length)]
    assert coverage("median", length, series=400) == pytest.approx((row["least"], row["most"]), abs=0.05)


def test_what_does_not_cover_is_withheld_and_what_covers_too_much_is_said() -> None:
    rows = [(4, 0.80, 0.90), (8, 0.88, 0.95), (12, 0.88, 0.91)]
    known = IntervalCoverage.of(
        [{"statistic": "s", "observations": n, "level": 0.9, "least": low, "most": high} for n, low, high in rows], 0.03
    )
    assert [known.is_shown("s", n) for n in (3, 4, 7, 8, 11, 12, 99)] == [False] * 3 + [True] * 4
    said = [known.said("s", n) or "" for n in (3, 5, 9, 12)]
    assert "nothing is known" in said[0] and "cover down to 80%" in said[1] and "up to 95%" in said[2] and not said[3]
    assert not known.is_shown("t", 50)
    late = IntervalCoverage.of([*SEED, {**SEED[0], "observations": 99, "least": 0.5}], 0.03)
    assert not late.is_shown("mean", 12), "what fails later on is not shown before"


def shaken(seed: int, epochs: int, gauges: int) -> tuple[Panel, Floats]:
    """Moves of which three parts in ten are an epoch's own: all gauges go up or down together."""
    chance = np.random.default_rng(seed)
    epoch, gauge = np.repeat(np.arange(epochs), gauges), np.tile(np.arange(gauges), epochs)
    moves = chance.normal(0, 0.1, gauges)[gauge] + chance.normal(0, 0.1, len(epoch))
    moves += chance.normal(0, 0.3, epochs)[epoch]
    boundary = (epoch + 1) * WEEK
    votes, rewards = chance.lognormal(10, 1, len(epoch)), chance.lognormal(6, 1, len(epoch))
    return Panel(epoch, gauge, votes, rewards, boundary - 300_000_000, boundary + 10_000_000), moves


@pytest.mark.slow
def test_forecast_intervals_are_shown_from_the_epochs_on_that_they_cover() -> None:
    """With the least number of past epochs 80 % intervals cover at least 77 %; with one to three they do not, by far,
    and with one to six they are withheld.

    Epochs are counted: each of the 2,000 series gives one share, however many gauges it has.
    """
    least, some = int(VALUES["min_interval_epochs"]), rules()
    held: dict[int, list[float]] = {past: [] for past in range(1, least + 1)}
    for seed in range(SERIES):
        panel, moves = shaken(seed, least + 1, 6)
        found = walk_forward(panel, moves, some)
        inside = (found.quantiles[:, 0] <= moves) & (moves <= found.quantiles[:, -1])
        for past, shares in held.items():
            rows = panel.epoch == past
            assert set(found.sample_epochs[rows].tolist()) == {past}
            shares.append(float(inside[rows].mean()))
    covered = {past: float(np.mean(shares)) for past, shares in held.items()}
    assert least == 7 and 0.77 <= covered[least] <= 0.83, covered
    assert covered[1] < covered[2] < covered[3] < 0.70, covered
