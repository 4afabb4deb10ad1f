"""The calendar against the library it comes from; days and months of an extraction."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from extract.bars.days import NEW_YORK, Span, joined, session_closes, settled_span
from extract.errors import RequestError
from tests.calendar_rows import FIRST, LAST, calendar_rows

SEEDS = Path(__file__).parents[3] / "seeds"
CLOSES = session_closes(SEEDS)


@pytest.mark.filterwarnings("ignore:Series.values")  # the library's own, of pandas
def test_the_seed_is_the_librarys_calendar() -> None:
    """Every session, open, close and half day from 2015 to 2027."""
    with (SEEDS / "bars" / "sessions.csv").open() as handle:
        held = list(csv.DictReader(handle))
    assert held == calendar_rows(FIRST, LAST)
    assert len(held) == 3268 and sum(row["early"] == "true" for row in held) == 26


def test_what_the_seed_says_of_known_days() -> None:
    days = {row["date"]: row for row in csv.DictReader((SEEDS / "bars" / "sessions.csv").open())}
    assert "2025-11-27" not in days and "2025-04-18" not in days and "2018-12-05" not in days  # a day of mourning
    assert days["2025-11-28"]["close_utc"] == "2025-11-28T18:00:00Z" and days["2025-11-28"]["early"] == "true"
    assert (days["2026-03-06"]["open_utc"][11:16], days["2026-03-09"]["open_utc"][11:16]) == ("14:30", "13:30")
    for row in days.values():
        opened = datetime.fromisoformat(row["open_utc"]).astimezone(NEW_YORK)
        assert (opened.date().isoformat(), opened.hour, opened.minute) == (row["date"], 9, 30)


def test_days_have_23_24_or_25_hours() -> None:
    lengths = {
        day: Span(day, day).seconds[1] + 1 - Span(day, day).seconds[0]
        for day in (date(2026, 3, 7), date(2026, 3, 8), date(2025, 11, 2))
    }
    assert [seconds // 3600 for seconds in lengths.values()] == [24, 23, 25]


def test_a_span_is_cut_at_months_and_put_together_again() -> None:
    span = Span(date(2025, 11, 20), date(2026, 2, 3))
    months = list(span.months())
    assert [name for name, _ in months] == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert months[0][1].first == span.first and months[-1][1].last == span.last
    assert all(b.first - a.last == timedelta(days=1) for (_, a), (_, b) in pairwise(months))
    assert [[n for n, _ in run] for run in joined(months, 1000)] == [["2025-11", "2025-12", "2026-01", "2026-02"]]
    assert [[n for n, _ in run] for run in joined([months[0], *months[2:]], 1000)] == [
        ["2025-11"],
        ["2026-01", "2026-02"],
    ]
    assert all((run[-1][1].last - run[0][1].first).days < 50 for run in joined(months, 50))


def test_old_days_can_be_asked_for_when_the_calendar_has_ended() -> None:
    day = date(2025, 11, 3)
    assert settled_span(CLOSES, day, day, now("2028-02-01"), 0) == Span(day, day)


def now(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "asked", "minutes", "last"),
    [
        ("2025-11-28T17:59", None, 0, "2025-11-26"),  # the half day is not over, Thursday had no session
        ("2025-11-28T18:00", None, 0, "2025-11-28"),
        ("2025-11-28T18:00", None, 240, "2025-11-26"),  # the provider is not done with it
        ("2025-11-28T22:00", "2025-11-28", 240, "2025-11-28"),
        ("2025-11-28T15:00", "2025-11-28", 0, "2025-11-27"),  # today is not landed while it lasts
        ("2025-11-30T12:00", "2025-11-29", 0, "2025-11-29"),  # a Saturday may be named
        ("2025-12-10T12:00", "2025-11-21", 0, "2025-11-21"),
    ],
)
def test_sessions_that_are_not_over_are_not_asked_for(moment: str, asked: str | None, minutes: int, last: str) -> None:
    until = date.fromisoformat(asked) if asked else None
    found = settled_span(CLOSES, date(2025, 11, 3), until, now(moment), minutes)
    newest = date.fromisoformat(last)
    assert found.first == date(2025, 11, 3)
    sessions = [day for day in CLOSES if found.first <= day <= found.last]
    assert max(sessions) == max(day for day in CLOSES if day <= newest)
    assert found.last <= (until or newest + timedelta(days=4))


@pytest.mark.parametrize(
    ("first", "last", "moment", "said"),
    [
        ("2025-11-10", "2025-11-03", "2025-12-01", "--to 2025-11-03 lies before"),
        ("2014-12-30", None, "2025-12-01", "knows sessions from 2015-01-02 to 2027-12-31 only"),
        ("2025-11-10", "2028-01-03", "2025-12-01", "knows sessions from"),
        ("2025-11-10", None, "2028-02-01", "knows sessions from"),
        ("2025-11-28", None, "2025-11-28", "no session from 2025-11-28 on is over yet"),
    ],
)
def test_days_that_cannot_be_asked_for(first: str, last: str | None, moment: str, said: str) -> None:
    until = date.fromisoformat(last) if last else None
    with pytest.raises(RequestError, match=said):
        settled_span(CLOSES, date.fromisoformat(first), until, now(moment), 0)
