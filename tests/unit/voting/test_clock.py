"""A recommendation that the clock has passed says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from decide.voting.revote import Stage
from operate.voting.clock import by_the_clock

BOUNDARY = datetime(2026, 3, 5, tzinfo=UTC)
STAGES = [Stage("day", 86_400, "boundary", 1.0), Stage("T-5", 300, "boundary", 1.0), Stage("T-1", 60, "boundary", 1.0)]


@pytest.mark.parametrize(
    ("window", "seconds_before", "said"),
    [
        ("day", 80_000, None),
        ("day", 100_000, None),
        ("T-5", 299, None),
        ("day", 300, "T-5 is open since 23:55:00 UTC"),
        ("T-5", 10, "T-1 is open since 23:59:00 UTC"),
        ("T-1", 0, "ended at 2026-03-05 00:00 UTC"),
        ("day", -86_400, "ended at 2026-03-05 00:00 UTC"),
    ],
)
def test_the_window_that_is_open_now_is_said(window: str, seconds_before: int, said: str | None) -> None:
    row = {"boundary_at": BOUNDARY, "decision_window": window}
    found = by_the_clock(row, STAGES, BOUNDARY - timedelta(seconds=seconds_before))
    assert found is None if said is None else said in str(found) and "--live" in str(found)


def test_without_a_boundary_nothing_is_said() -> None:
    assert by_the_clock({"boundary_at": None, "decision_window": "day"}, STAGES, BOUNDARY) is None
