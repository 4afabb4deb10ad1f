"""New York days: they tile time, are 23, 24 or 25 hours long, and midnight belongs to the day it begins."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import RequestError
from extract.lending.days import day_at, day_of, days_between, parse_day, requested_days

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = date(2015, 1, 1), date(2035, 12, 31)
DATES = st.dates(FIRST, LAST)
HOUR = 3600


def test_days_tile_twenty_years() -> None:
    days = days_between(FIRST, LAST)
    assert all(a.end == b.start for a, b in pairwise(days))
    lengths = Counter((d.end - d.start) // HOUR for d in days)
    assert lengths == {23: 21, 25: 21, 24: len(days) - 42}
    assert [d.name for d in days][:2] == ["2015-01-01", "2015-01-02"]


def test_every_hour_of_twenty_years_belongs_to_the_day_that_its_clock_shows() -> None:
    """Slow oracle: step through the hours in UTC and read the wall clock of each."""
    start = int(datetime(2015, 1, 1, 12, tzinfo=UTC).timestamp())
    seen: dict[date, list[int]] = {}
    for moment in range(start, int(datetime(2035, 12, 31, tzinfo=UTC).timestamp()), HOUR):
        seen.setdefault(datetime.fromtimestamp(moment, UTC).astimezone(NEW_YORK).date(), []).append(moment)
    for shown, hours in list(seen.items())[1:-1]:
        assert (day_of(shown).start, day_of(shown).end) == (hours[0], hours[-1] + HOUR)


@pytest.mark.parametrize(
    ("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2025-11-02", 25), ("2024-12-25", 24)]
)
def test_days_of_clock_changes(day: str, hours: int) -> None:
    found = day_of(parse_day(day))
    assert found.end - found.start == hours * HOUR


@given(DATES, st.floats(0, 1, exclude_max=True))
def test_every_second_falls_into_its_own_day(wanted: date, part: float) -> None:
    day = day_of(wanted)
    moment = day.start + int((day.end - day.start) * part)
    assert day_at(moment) == day
    assert day_at(day.start) == day and day_at(day.target) == day
    assert day_at(day.end).date == wanted + timedelta(days=1)  # midnight itself is the next day's
    assert day_at(day.start - 1).date == wanted - timedelta(days=1)


@given(DATES, st.integers(0, 40), st.integers(1, 86_000))
def test_only_ended_days_are_given(last: date, count: int, late: int) -> None:
    now = day_of(last).end + late % (day_of(last + timedelta(days=1)).end - day_of(last).end)
    assert [d.date for d in requested_days(now, None, None, None)] == [last]
    since = last - timedelta(days=count)
    asked = requested_days(now, None, since.isoformat(), None)
    assert [d.date for d in asked] == [since + timedelta(days=n) for n in range(count + 1)]
    assert all(d.end <= now for d in asked)
    if count:
        assert requested_days(now, count, None, last.isoformat()) == asked[1:]
    tomorrow = (last + timedelta(days=1)).isoformat()
    with pytest.raises(RequestError, match=f"the last ended day is {last}"):
        requested_days(now, None, None, tomorrow)
    with pytest.raises(RequestError, match=f"--since {tomorrow} has not ended"):
        requested_days(now, None, tomorrow, None)


def test_requests_that_cannot_be() -> None:
    now = day_of(date(2025, 1, 10)).end
    with pytest.raises(RequestError, match="write the older day first"):
        requested_days(now, None, "2025-01-05", "2025-01-04")
    with pytest.raises(RequestError, match="exclude each other"):
        requested_days(now, 3, "2025-01-05", None)
    with pytest.raises(RequestError, match="write it as 2024-12-31"):
        parse_day("31.12.2024")
