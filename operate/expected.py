"""What the nights should have brought by now, from the ledger and the calendar alone: no provider is asked.

A family is what comes again and again (a CSU's panel, an exchange's state at a window, a symbol's bars, a market run
of seven days). Of every family that was fetched lately, each period that has ended must be complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from extract.ledger import Ledger, Partition, PartitionState, partition_of

EPOCH = timedelta(weeks=1)
USUAL_PERIODS = 8  # whose middle is the usual number of rows
LEAST_PERIODS = 3  # before the newest: fewer say nothing of what is usual
LEAST_ROWS = 10  # a usual number below it varies by itself
SMALL_SHARE = 0.5
_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Period:
    """The name of one period, and when it ended (UTC)."""

    name: str
    ended_at: datetime


@dataclass(frozen=True)
class Cadence:
    """How a wing's partitions repeat. `split`: family and period's name of a partition, None for what comes once only;
    `periods`: those that ended between two moments; `grace`: after which an ended one should have been fetched;
    `look_back`: how long ago is looked at; `cure`: the command that fetches a missing one."""

    split: Callable[[Partition], tuple[str, str] | None]
    periods: Callable[[datetime, datetime], list[Period]]
    grace: timedelta
    look_back: timedelta
    cure: Callable[[str], str]


@dataclass(frozen=True)
class Expectation:
    """Of one family: periods expected and complete, the missing ones, and the command that fetches the first."""

    wing: str
    family: str
    expected: int
    actual: int
    missing: tuple[str, ...]
    cure: str


@dataclass(frozen=True)
class Unusual:
    """Of one family: its newest complete period, the rows it has, and what the periods before it usually had."""

    wing: str
    family: str
    period: str
    rows: int
    usual_rows: int


def expectations(ledger: Ledger, now: datetime) -> list[Expectation]:
    """Every family of the ledger that was fetched lately, by wing; `now` in UTC."""
    told = [_expect(wing, family, states, now) for (wing, family), states in sorted(_families(ledger).items())]
    return [one for one in told if one is not None]


def unusual(ledger: Ledger) -> list[Unusual]:
    """Families whose newest complete period has far fewer rows than usual: a source may have given half an answer.

    Bars are not among them: their newest month is not over, and `bar_coverage` counts every session.
    """
    found = []
    for (wing, family), states in sorted(_families(ledger).items()):
        rows = [(name, int(state.complete["rows"])) for name, state in sorted(states.items()) if state.complete]
        if wing == "bars" or len(rows) <= LEAST_PERIODS:
            continue
        usual = int(median(number for _, number in rows[-USUAL_PERIODS - 1 : -1]))
        period, newest = rows[-1]
        if usual >= LEAST_ROWS and newest < SMALL_SHARE * usual:
            found.append(Unusual(wing, family, period, newest, usual))
    return found


def _families(ledger: Ledger) -> dict[tuple[str, str], dict[str, PartitionState]]:
    """States by wing and family, and in it by the period's name."""
    families: dict[tuple[str, str], dict[str, PartitionState]] = defaultdict(dict)
    for partition_id, state in ledger.states.items():
        partition = partition_of(partition_id)
        cadence = CADENCES.get(partition.source)
        found = cadence.split(partition) if cadence else None
        if found:
            families[partition.source, found[0]][found[1]] = state
    return families


def _expect(wing: str, family: str, states: Mapping[str, PartitionState], now: datetime) -> Expectation | None:
    cadence = CADENCES[wing]
    since = now - cadence.look_back - cadence.grace
    if max(state.newest["finished_at"] for state in states.values()) < since - cadence.look_back:
        return None  # nobody fetches it any more
    complete = {name for name, state in states.items() if state.complete is not None}
    first = min(states)  # names of periods sort by time
    due = [p.name for p in cadence.periods(since, now - cadence.grace) if p.name >= first]
    missing = tuple(name for name in due if name not in complete)
    cure = cadence.cure(missing[0]) if missing else ""
    return Expectation(wing, family, len(due), len(due) - len(missing), missing, cure)


def _days(first: datetime, last: datetime, zone: ZoneInfo | None) -> Iterable[Period]:
    day = first.astimezone(zone or UTC).date()
    while True:
        end = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone or UTC).astimezone(UTC)
        if end > last:
            return
        if end > first:
            yield Period(day.isoformat(), end)
        day += timedelta(days=1)


def _epochs(first: datetime, last: datetime) -> list[Period]:
    week = int(EPOCH.total_seconds())
    starts = range(int(first.timestamp()) // week * week, int(last.timestamp()) - week + 1, week)
    ends = [(start, datetime.fromtimestamp(start + week, UTC)) for start in starts]
    return [Period(str(start), end) for start, end in ends if first < end <= last]


def _months(first: datetime, last: datetime) -> list[Period]:
    """Months that had begun three days before `last`: three days hold a session, whatever the holidays."""
    found, day = [], first.date().replace(day=1)
    while day + timedelta(days=5) <= last.date():
        found.append(Period(f"{day:%Y-%m}", datetime.combine(day, datetime.min.time(), UTC)))
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return found


def _voting(partition: Partition) -> tuple[str, str]:
    name, _, epoch = partition.key.rpartition("/")
    return f"{partition.table_group} {name} {partition.window}", epoch


def _markets(partition: Partition) -> tuple[str, str] | None:
    if partition.table_group == "resolutions":
        return None
    return f"{partition.table_group} {partition.window}", partition.key


CADENCES: Mapping[str, Cadence] = {
    "voting": Cadence(
        _voting, _epochs, timedelta(hours=30), timedelta(weeks=3),
        lambda epoch: f"foreshore extract voting --since {epoch} --until {epoch}",
    ),
    "lending": Cadence(
        lambda p: (f"{p.table_group} {p.key}", p.window), lambda first, last: list(_days(first, last, _NEW_YORK)),
        timedelta(hours=12), timedelta(days=7), lambda day: f"foreshore extract lending --since {day} --until {day}",
    ),
    "bars": Cadence(
        lambda p: (p.key, p.window), _months, timedelta(days=1), timedelta(days=31),
        lambda month: f"foreshore extract bars --symbol SYMBOL --from {month}-01",
    ),
    "markets": Cadence(
        _markets, lambda first, last: list(_days(first, last, None)), timedelta(hours=12), timedelta(days=7),
        lambda day: f"foreshore markets daily --run-date {day}   # what was listed on a day that passed is lost",
    ),
}  # fmt: skip
