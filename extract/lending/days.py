"""New York calendar days as UTC windows: 23, 24 or 25 hours long, tiling without gap or overlap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from extract.errors import RequestError

NEW_YORK = ZoneInfo("America/New_York")
_ONE = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Day:
    """One New York day: `start` belongs to it, `end` to the next one; unix seconds, UTC."""

    date: date
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.date.isoformat()

    @property
    def target(self) -> int:
        """The last second of the day: a block at midnight itself is the next day's."""
        return self.end - 1


@cache
def day_of(wanted: date) -> Day:
    """The window of a date. Both midnights come from the tz database, never from adding 24 hours."""
    return Day(wanted, _midnight(wanted), _midnight(wanted + _ONE))


def _midnight(wanted: date) -> int:
    return int(datetime.combine(wanted, time(), NEW_YORK).timestamp())


def day_at(timestamp: int) -> Day:
    """The New York day that a unix second falls into."""
    return day_of(datetime.fromtimestamp(timestamp, UTC).astimezone(NEW_YORK).date())


def days_between(first: date, last: date) -> list[Day]:
    """Every day from first to last, both included; RequestError when they are the wrong way round."""
    if first > last:
        raise RequestError(f"--since {first} is after --until {last}: write the older day first")
    return [day_of(first + timedelta(days=n)) for n in range((last - first).days + 1)]


def parse_day(text: str) -> date:
    """A date in ISO form; RequestError says what it should look like."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(f"{text!r} is not a day: write it as 2024-12-31 (New York calendar)") from None


def requested_days(now: int, count: int | None, since: str | None, until: str | None) -> list[Day]:
    """The days asked for, all ended by `now` (unix seconds): `count` back from `until`, or from `since` to it.

    Without anything: the last ended day. RequestError for days that have not ended, upside-down or double requests.
    """
    ended = day_at(now).date - _ONE
    last = parse_day(until) if until else ended
    if last > ended:
        raise RequestError(f"--until {last} has not ended in New York yet: the last ended day is {ended}")
    if since and count:
        raise RequestError("--since and --days exclude each other: give the first day, or how many")
    first = parse_day(since) if since else last - timedelta(days=(count or 1) - 1)
    if since and not until and first > ended:
        raise RequestError(f"--since {first} has not ended in New York yet: the last ended day is {ended}")
    return days_between(first, last)
