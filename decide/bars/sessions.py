"""The exchange's sessions and the grid of bars in them. Times are unix seconds UTC; a bar's label is its open.

The rows come from the `sessions` seed (exchange calendar, with half days; UTC, so that clock changes are in it
already) and from `session_overrides`. Nothing is assumed about weekdays or the length of a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
M5 = 300  # seconds of the base timeframe
DAY = 86_400


@dataclass(frozen=True)
class Sessions:
    """S sessions, ascending and apart: `opens[i] < closes[i] <= opens[i + 1]`."""

    opens: Ints
    closes: Ints

    def __post_init__(self) -> None:
        if self.opens.shape != self.closes.shape or self.opens.ndim != 1 or not len(self.opens):
            raise DecisionError("sessions need as many opens as closes, and at least one")
        if (self.closes <= self.opens).any() or (self.opens[1:] < self.closes[:-1]).any():
            raise DecisionError("sessions must be ascending and apart, each closing after it opens")

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], overrides: Sequence[Mapping[str, Any]] = ()) -> Sessions:
        """From rows with `date`, `open_utc`, `close_utc` (ISO text or datetimes, UTC); an override replaces its date.

        An override without an open is a day without a session.
        """
        days = {str(row["date"])[:10]: (row["open_utc"], row["close_utc"]) for row in rows}
        days |= {str(row["date"])[:10]: (row["open_utc"], row["close_utc"]) for row in overrides}
        spans = sorted((_seconds(start), _seconds(end)) for start, end in days.values() if start)
        if not spans:
            raise DecisionError("the calendar has no session")
        opens, closes = np.array(spans, np.int64).T
        return cls(np.ascontiguousarray(opens), np.ascontiguousarray(closes))

    @property
    def known_from(self) -> int:
        """The first moment the calendar speaks about: its first open."""
        return int(self.opens[0])

    @property
    def known_until(self) -> int:
        """The first moment it says nothing about: midnight UTC after its last close."""
        return (int(self.closes[-1]) // DAY + 1) * DAY

    def before(self, timeframe: int) -> Ints:
        """Bars of `timeframe` before each session, and of all at the end, (S + 1,)."""
        if timeframe not in self._counts:
            if ((self.closes - self.opens) % timeframe).any():
                raise DecisionError(f"bars of {timeframe} s do not fit a whole number of times into every session")
            self._counts[timeframe] = np.r_[0, np.cumsum((self.closes - self.opens) // timeframe)].astype(np.int64)
        return self._counts[timeframe]

    @cached_property
    def _counts(self) -> dict[int, Ints]:
        return {}

    def closed(self, timeframe: int, moment: int) -> int:
        """How many bars have closed at or before `moment`, counted from the calendar's first."""
        before = self.before(timeframe)
        session = int(np.searchsorted(self.opens, moment, "right")) - 1
        if session < 0:
            return 0
        within = (min(moment, int(self.closes[session])) - int(self.opens[session])) // timeframe
        return int(before[session]) + within

    def labels(self, timeframe: int, start: int, stop: int) -> Ints:
        """Labels of the bars numbered `start` to `stop` (exclusive), ascending."""
        before = self.before(timeframe)
        numbers = np.arange(start, stop, dtype=np.int64)
        sessions = np.searchsorted(before, numbers, "right") - 1
        return np.asarray(self.opens[sessions] + (numbers - before[sessions]) * timeframe, np.int64)

    def between(self, timeframe: int, first: int, last: int) -> Ints:
        """Labels of every bar that opens in `[first, last]`."""
        start, stop = self.closed(timeframe, first + timeframe - 1), self.closed(timeframe, last + timeframe)
        found = self.labels(timeframe, start, max(start, stop))
        return found[(found >= first) & (found <= last)]

    def holds(self, timeframe: int, labels: Ints) -> Flags:
        """Which labels are bars of the grid (the rest is pre-market, post-market, or no bar's open), (N,)."""
        session = np.searchsorted(self.opens, labels, "right") - 1
        inside = (session >= 0) & (labels < self.closes[session])
        return np.asarray(inside & ((labels - self.opens[session]) % timeframe == 0))

    def session_of(self, label: int) -> tuple[int, int]:
        """Open and close of the session that `label` lies in, or of the last one before it."""
        session = max(int(np.searchsorted(self.opens, label, "right")) - 1, 0)
        return int(self.opens[session]), int(self.closes[session])


def _seconds(value: Any) -> int:
    moment = np.datetime64(value.replace(tzinfo=None) if hasattr(value, "tzinfo") else str(value).rstrip("Z"), "s")
    return int(moment.astype(np.int64))
