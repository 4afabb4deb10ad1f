"""Is there enough history to say anything? The whole expected grid of closed session bars, compared bar by bar.

    required = (max(lookback + pattern age + margin, bars of the session so far) + warm-up) bars of the timeframe

counted back from the last closed one through the exchange's sessions, never in wall-clock minutes: 65 bars of five
minutes lie between 5.4 and 115 hours back. Anything but SUFFICIENT means no signal, with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from decide.bars.sessions import M5, Ints, Sessions
from decide.errors import DecisionError

NO_LABELS: Ints = np.array([], np.int64)


class Status(StrEnum):
    """SUFFICIENT: every required bar is there. LOADING: a backfill is running. DEGRADED: no, and here is why."""

    SUFFICIENT = "SUFFICIENT"
    LOADING = "LOADING"
    DEGRADED = "DEGRADED"


class Reason(StrEnum):
    """Why history is not SUFFICIENT."""

    BACKFILL_RUNNING = "backfill_running"  # LOADING only
    NO_DATA = "no_data"  # not one required bar
    GAP = "gap"  # bars missing before the newest required one
    STALE = "stale"  # only the newest bars are missing
    PROVIDER_ERROR = "provider_error"  # bars are missing, and the backfill failed
    PROVIDER_EMPTY = "provider_empty"  # bars are missing, and the backfill brought none of them
    CALENDAR_OUT_OF_RANGE = "calendar_out_of_range"  # the sessions seed does not reach that far
    MARKET_CLOSED = "market_closed"  # whole, but no bar of a session has just closed
    MANIFEST_INVALID = "manifest_invalid"
    FEED_MISMATCH = "feed_mismatch"  # the run's feed is not the one the backtest stood on


@dataclass(frozen=True)
class Requirement:
    """What a strategy declares, in bars of its own timeframe (seconds).

    `has_session_state`: what it says depends on every bar since the session's open. `warmup_bars`: what its
    indicators need before the first of those bars. `max_no_trade`: slots without a trade it puts up with.
    """

    timeframe: int
    lookback_bars: int
    pattern_age_bars: int = 0
    margin_bars: int = 0
    warmup_bars: int = 0
    has_session_state: bool = True
    max_no_trade: int = 0

    def __post_init__(self) -> None:
        if self.timeframe < M5 or self.timeframe % M5:
            raise DecisionError(f"timeframe = {self.timeframe} s: it must be a multiple of {M5}")
        counts = ("lookback_bars", "pattern_age_bars", "margin_bars", "warmup_bars", "max_no_trade")
        if any(getattr(self, name) < 0 for name in counts) or self.lookback_bars < 1:
            raise DecisionError("a requirement counts bars: lookback_bars of 1 or more, the rest 0 or more")


@dataclass(frozen=True)
class Window:
    """The grid one check compares with: labels of five-minute bars, ascending.

    `out_of_range`: the calendar does not reach over it (labels are then empty). `is_open`: at `moment` a bar of a
    session has just closed, so there is something to say.
    """

    moment: int
    required_bars: int  # of the strategy's timeframe
    labels: Ints
    is_open: bool
    out_of_range: bool = False

    @property
    def first(self) -> int | None:
        """Label of the first required bar."""
        return int(self.labels[0]) if len(self.labels) else None

    @property
    def last(self) -> int | None:
        """Label of the last required bar."""
        return int(self.labels[-1]) if len(self.labels) else None


@dataclass(frozen=True)
class Gap:
    """Missing bars that follow each other on the grid (over night and weekends too): first and last label, count."""

    first: int
    last: int
    count: int


@dataclass(frozen=True)
class Backfill:
    """What is known of fetching what was missing: `state` is none, running, done, empty or error."""

    state: str = "none"
    deadline: int | None = None  # unix seconds; a running one that is past it counts as failed
    detail: str = ""

    def __post_init__(self) -> None:
        if self.state not in ("none", "running", "done", "empty", "error"):
            raise DecisionError(f"backfill state {self.state!r}: use none, running, done, empty or error")


@dataclass(frozen=True)
class HistoryCheck:
    """The answer, with the exact gaps; `present` counts required bars that are there, in five-minute bars."""

    status: Status
    reason: Reason | None
    moment: int
    required: int
    present: int
    no_trade: int = 0
    first_required: int | None = None
    last_required: int | None = None
    gaps: tuple[Gap, ...] = ()
    deadline: int | None = None
    detail: str = field(default="", compare=False)

    @property
    def is_sufficient(self) -> bool:
        """Whether signals may be said."""
        return self.status is Status.SUFFICIENT

    def as_row(self) -> dict[str, Any]:
        """Plain values for an audit line."""
        return {
            "status": self.status.value,
            "reason": self.reason.value if self.reason else None,
            "moment": self.moment,
            "required": self.required,
            "present": self.present,
            "no_trade": self.no_trade,
            "first_required": self.first_required,
            "last_required": self.last_required,
            "gaps": [{"first": gap.first, "last": gap.last, "count": gap.count} for gap in self.gaps],
            "deadline": self.deadline,
            "detail": self.detail,
        }


def required_bars(requirement: Requirement, sessions: Sessions, moment: int, grace_seconds: int = 0) -> int:
    """Closed bars of the strategy's timeframe that must be there at `moment` (unix seconds)."""
    closed = sessions.closed(requirement.timeframe, moment - grace_seconds)
    asked = requirement.lookback_bars + requirement.pattern_age_bars + requirement.margin_bars
    if requirement.has_session_state and closed:
        before = sessions.before(requirement.timeframe)
        session = int(np.searchsorted(before, closed - 1, "right")) - 1
        asked = max(asked, closed - int(before[session]))
    return asked + requirement.warmup_bars


def required_window(requirement: Requirement, sessions: Sessions, moment: int, grace_seconds: int = 0) -> Window:
    """The grid at `moment`: the last closed bars, none of which closed later than `grace_seconds` before it."""
    settled, timeframe = moment - grace_seconds, requirement.timeframe
    count = required_bars(requirement, sessions, moment, grace_seconds)
    closed = sessions.closed(timeframe, settled)
    if not sessions.known_from <= settled < sessions.known_until or closed < count:
        return Window(moment, count, NO_LABELS, is_open=False, out_of_range=True)
    opened = sessions.labels(timeframe, closed - count, closed)
    parts = np.arange(0, timeframe, M5, dtype=np.int64)
    last_close = int(opened[-1]) + timeframe
    start, _ = sessions.session_of(settled)
    just_closed = last_close <= settled < last_close + timeframe and start <= int(opened[-1])
    return Window(moment, count, (opened[:, None] + parts[None, :]).ravel(), is_open=just_closed)


def find_gaps(window: Window, present: Ints) -> tuple[Gap, ...]:
    """Runs of required labels that are not among `present` (any order, any other labels besides)."""
    missing = np.flatnonzero(~np.isin(window.labels, present))
    if not len(missing):
        return ()
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    return tuple(Gap(int(window.labels[r[0]]), int(window.labels[r[-1]]), len(r)) for r in runs)


def check(
    window: Window,
    present: Ints,
    no_trade: Ints = NO_LABELS,
    max_no_trade: int = 0,
    backfill: Backfill | None = None,
) -> HistoryCheck:
    """Compare the whole window with the labels that are there.

    `no_trade` are slots the provider is known to have no bar for: up to `max_no_trade` of them in the window count
    as there, more count as missing, all of them.
    """
    empty_slots = window.labels[np.isin(window.labels, no_trade) & ~np.isin(window.labels, present)]
    tolerated = len(empty_slots) <= max_no_trade
    there = np.union1d(present, empty_slots) if tolerated and len(empty_slots) else present
    gaps = find_gaps(window, there)
    return conclude(window, gaps, len(empty_slots), backfill)


def conclude(window: Window, gaps: Sequence[Gap], no_trade: int = 0, backfill: Backfill | None = None) -> HistoryCheck:
    """The status that follows from the gaps of a window (what `check` does when only counts were compared)."""
    fill, required = backfill or Backfill(), len(window.labels)
    present = required - sum(gap.count for gap in gaps)
    status, reason = _verdict(window, gaps, present, fill)
    return HistoryCheck(
        status=status,
        reason=reason,
        moment=window.moment,
        required=required if not window.out_of_range else window.required_bars,
        present=present,
        no_trade=no_trade,
        first_required=window.first,
        last_required=window.last,
        gaps=tuple(gaps),
        deadline=fill.deadline if status is Status.LOADING else None,
        detail=fill.detail,
    )


def refused(moment: int, reason: Reason, detail: str = "") -> HistoryCheck:
    """DEGRADED for a reason that no bar can cure: a manifest that does not hold, another feed."""
    return HistoryCheck(Status.DEGRADED, reason, moment, required=0, present=0, detail=detail)


def _verdict(window: Window, gaps: Sequence[Gap], present: int, fill: Backfill) -> tuple[Status, Reason | None]:
    if window.out_of_range:
        return Status.DEGRADED, Reason.CALENDAR_OUT_OF_RANGE
    if gaps:
        if fill.state == "running" and (fill.deadline is None or window.moment < fill.deadline):
            return Status.LOADING, Reason.BACKFILL_RUNNING
        return Status.DEGRADED, _why(window, gaps, present, fill)
    if not window.is_open:
        return Status.DEGRADED, Reason.MARKET_CLOSED
    return Status.SUFFICIENT, None


def _why(window: Window, gaps: Sequence[Gap], present: int, fill: Backfill) -> Reason:
    if fill.state in ("error", "running"):  # a running one is past its deadline here
        return Reason.PROVIDER_ERROR
    if fill.state == "empty":
        return Reason.PROVIDER_EMPTY
    if not present:
        return Reason.NO_DATA
    is_tail = len(gaps) == 1 and gaps[0].last == window.last
    return Reason.STALE if is_tail else Reason.GAP
