"""Which days there is something to ask for: sessions of the seed that are over, by New York date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from extract.errors import ConfigError, RequestError
from extract.seeds import read_seed

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Span:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def seconds(self) -> tuple[int, int]:
        """First and last unix second of these days in New York (23, 24 or 25 hours each)."""
        start = datetime.combine(self.first, time(), NEW_YORK)
        end = datetime.combine(self.last + timedelta(days=1), time(), NEW_YORK)
        return int(start.timestamp()), int(end.timestamp()) - 1

    def months(self) -> Iterator[tuple[str, Span]]:
        """The calendar months it touches, as `2025-05`, with its part of each."""
        first = self.first
        while first <= self.last:
            following = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
            yield f"{first:%Y-%m}", Span(first, min(self.last, following - timedelta(days=1)))
            first = following

    def hull(self, other: Span) -> Span:
        """The shortest span that holds both."""
        return Span(min(self.first, other.first), max(self.last, other.last))


def session_spans(seeds: Path) -> dict[date, tuple[datetime, datetime]]:
    """Open and close (UTC) of every session by New York date, overrides applied."""
    rows = {row["date"]: row for row in read_seed(seeds, "bars/sessions")}
    rows |= {row["date"]: row for row in read_seed(seeds, "bars/session_overrides")}
    held = {day: (row["open_utc"], row["close_utc"]) for day, row in rows.items() if row["close_utc"]}
    if not held:
        raise ConfigError(f"{seeds} has no session in sessions.csv")
    spans = {date.fromisoformat(day): tuple(map(datetime.fromisoformat, edges)) for day, edges in held.items()}
    return {day: (edges[0], edges[1]) for day, edges in sorted(spans.items())}


def session_closes(seeds: Path) -> dict[date, datetime]:
    """Close (UTC) of every session by New York date."""
    return {day: close for day, (_, close) in session_spans(seeds).items()}


def settled_span(
    closes: dict[date, datetime], first: date, last: date | None, now: datetime, settle_minutes: int
) -> Span:
    """`first` to `last` without sessions that are not over yet; RequestError says what is wrong with the days."""
    known = list(closes)
    if last is not None and last < first:
        raise RequestError(f"--to {last} lies before --from {first}")
    if first < known[0] or (last or first) > known[-1] or (last is None and now > closes[known[-1]]):
        raise RequestError(
            f"seeds/bars/sessions.csv knows sessions from {known[0]} to {known[-1]} only: "
            "ask for days within, or make it longer (docs/bars.md)"
        )
    settled = now - timedelta(minutes=settle_minutes)
    over = [day for day, close in closes.items() if close <= settled]
    newest = max((day for day in over), default=None)
    if newest is None or newest < first:
        raise RequestError(f"no session from {first} on is over yet (the newest that is: {newest})")
    return Span(first, min(last or newest, max(newest, _last_quiet_day(closes, newest, now))))


def _last_quiet_day(closes: dict[date, datetime], newest: date, now: datetime) -> date:
    """The last day that is over and has no session after `newest`: weekends may be named as `--to`."""
    day, today = newest, now.astimezone(NEW_YORK).date()
    while day + timedelta(days=1) < today and day + timedelta(days=1) not in closes:
        day += timedelta(days=1)
    return day


def parse_day(text: str, option: str) -> date:
    """An ISO date; RequestError names the option."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{option} {text}: use a date such as 2025-05-12") from None


def day_of(ts: int) -> date:
    """The New York date of a unix second."""
    return datetime.fromtimestamp(ts, UTC).astimezone(NEW_YORK).date()


def joined(months: Sequence[tuple[str, Span]], most_days: int) -> Iterator[list[tuple[str, Span]]]:
    """Runs of months without a hole between them, each at most `most_days` long."""
    run: list[tuple[str, Span]] = []
    for month in months:
        follows = run and month[1].first - run[-1][1].last == timedelta(days=1)
        if run and (not follows or (month[1].last - run[0][1].first).days >= most_days):
            yield run
            run = []
        run.append(month)
    if run:
        yield run
