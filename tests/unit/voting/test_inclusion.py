"""Chances of landing from counts: what was recorded, what a voter's own log adds, and what an outage takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decide.thresholds import thresholds
from decide.voting.constants import records
from decide.voting.inclusion import Record, chances
from tests.decision_fixtures import seed_rows, settings

RECORDED = records(seed_rows("submission_counts"))
VALUES = thresholds(seed_rows("thresholds"))
LATE, TRIES = int(VALUES["late_window_seconds"]), int(VALUES["early_vote_tries"])


@pytest.mark.parametrize(
    ("seconds", "landing", "outage"),
    [
        (86_400, 1 - 0.5**2 / 7**2, 0.0),  # the nearest later trigger, sent twice if need be; no outage reaches it
        (12_601, 1 - 0.5**2 / 7**2, 0.0),
        (3_660, 6.5 / 7, 1.5 / 8),
        (300, 6.5 / 7, 1.5 / 8),
        (60, 12.5 / 13, 1.5 / 8),  # triggers of 60 and 35 seconds
        (0, 1.5 / 5, 1.5 / 8),  # later than any trigger: no better than the latest, which reverted in three of four
    ],
)
def test_the_seed_starts_from_recorded_submissions(seconds: int, landing: float, outage: float) -> None:
    found = chances(seconds, RECORDED, LATE, TRIES)
    assert (found.landing, found.outage) == pytest.approx((landing, outage))


def test_an_outage_of_an_epoch_counts_once_however_many_windows_it_took() -> None:
    down = [Record(s, 1, 0, 0, 1, epoch=7) for s in (240, 60, 35)]
    assert chances(60, down, LATE).outage == pytest.approx(1.5 / 2)
    partly = [Record(240, 1, 1, 0, 0, epoch=7), Record(60, 1, 0, 0, 1, epoch=7)]
    assert chances(60, partly, LATE).outage == pytest.approx(0.5 / 2), "something went through: no outage"


@given(
    st.integers(0, 100_000),
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 9), st.integers(0, 9)), max_size=6),
)
def test_chances_are_chances(seconds: int, counts: list[tuple[int, int, int]]) -> None:
    found = chances(seconds, [Record(s, a + b, a, b, 0) for s, a, b in counts], LATE)
    assert 0 < found.landing < 1 and 0 <= found.outage < 1


def test_stated_chances_take_the_place_of_recorded_ones() -> None:
    rows = [row | {"landing_prob": 0.5, "outage_prob": 0.25} for row in seed_rows("decision_windows")]
    stages = settings(decision_windows=rows).stages
    assert {(s.landing_prob, s.outage_prob, s.inclusion_prob) for s in stages} == {(0.5, 0.25, 0.375)}
