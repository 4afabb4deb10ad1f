"""Price bars as arrays: what a strategy sees. Labels are bar opens in unix seconds UTC; a bar is known at its close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from decide.bars.ticks import MICROS, micros
from decide.errors import DecisionError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Bars:
    """N bars of one symbol and timeframe, labels ascending, each once."""

    labels: Ints  # bar open, unix seconds
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Bars:
        return Bars(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def of(cls, columns: Mapping[str, npt.ArrayLike]) -> Bars:
        """Checked bars from columns label, open, high, low, close, volume; DecisionError names the first bad row."""
        labels = np.asarray(columns["label"], dtype=np.int64)
        prices = [np.asarray(columns[name], dtype=np.float64) for name in PRICES]
        prices = [np.rint(values * MICROS) / MICROS for values in prices]  # six places: what floats added is gone
        bars = cls(labels, prices[0], prices[1], prices[2], prices[3], np.asarray(columns["volume"], dtype=np.float64))
        problem = bars.problem()
        if problem:
            raise DecisionError(problem)
        return bars

    @cached_property
    def exact(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Open, high, low and close in millionths of a dollar."""
        return micros(self.open), micros(self.high), micros(self.low), micros(self.close)

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Bars:
        """The same from rows."""
        return cls.of({name: [row[name] for row in rows] for name in ("label", *PRICES, "volume")})

    def problem(self) -> str | None:
        """Why these are no bars, or None: shapes, order, repeated labels, prices that are missing or contradict."""
        columns = [getattr(self, f.name) for f in fields(self)]
        if any(column.shape != self.labels.shape or column.ndim != 1 for column in columns):
            return f"columns of bars differ in shape: {[column.shape for column in columns]}"
        steps = np.diff(self.labels)
        if (steps <= 0).any():
            row = int(np.argmax(steps <= 0)) + 1
            kind = "repeats" if steps[row - 1] == 0 else "goes back to"
            return f"row {row} {kind} the label {int(self.labels[row])}"
        prices = np.vstack([self.open, self.high, self.low, self.close])
        bad = ~np.isfinite(prices).all(axis=0) | (prices.min(axis=0) <= 0)
        bad |= (self.high < prices.max(axis=0)) | (self.low > prices.min(axis=0))
        if bad.any():
            row = int(np.argmax(bad))
            shown = ", ".join(f"{name} {value:g}" for name, value in zip(PRICES, prices[:, row], strict=True))
            return f"the bar labelled {int(self.labels[row])} contradicts itself: {shown}"
        return None


def combine(bars: Bars, step_seconds: int, into_seconds: int) -> Bars:
    """Longer bars of `into_seconds` from bars of `step_seconds`, only where every part is present.

    Boundaries are multiples of `into_seconds` from midnight UTC: the exchange opens on a multiple of 30 minutes, so
    M15 bars start at its open in winter and in summer. Volume is summed. DecisionError when the one does not divide
    the other.
    """
    if into_seconds % step_seconds:
        raise DecisionError(f"{into_seconds} s is no multiple of {step_seconds} s")
    parts = into_seconds // step_seconds
    if parts == 1 or not len(bars):
        return bars
    groups = bars.labels // into_seconds
    starts = np.flatnonzero(np.r_[True, np.diff(groups) > 0])
    counts = np.diff(np.r_[starts, len(bars)])
    on_grid = np.add.reduceat((bars.labels % step_seconds == 0).astype(np.int64), starts) == counts
    whole = starts[(counts == parts) & on_grid]
    ends = whole + parts - 1
    rows = whole[:, None] + np.arange(parts)[None, :]
    return Bars(
        labels=groups[whole] * into_seconds,
        open=bars.open[whole],
        high=bars.high[rows].max(axis=1, initial=-np.inf),
        low=bars.low[rows].min(axis=1, initial=np.inf),
        close=bars.close[ends],
        volume=bars.volume[rows].sum(axis=1),
    )


def true_range(bars: Bars) -> Ints:
    """max(high - low, |high - previous close|, |low - previous close|) in millionths, (N,); 0 for the first bar."""
    _, high, low, close = bars.exact
    ranges = high - low
    if len(bars):
        after, before = slice(1, None), close[:-1]
        reach = np.maximum(np.abs(high[after] - before), np.abs(low[after] - before))
        ranges[after] = np.maximum(ranges[after], reach)
        ranges[0] = 0
    return ranges


def range_sums(ranges: Ints, period: int) -> Ints:
    """Sum of the last `period` true ranges, (N,); -1 until there are that many. The ATR is this over `period`.

    Whole numbers, so that the same bars give the same sum however much history stands before them.
    """
    sums = np.full(len(ranges), -1, dtype=np.int64)
    if len(ranges) > period:
        total = np.cumsum(ranges)
        sums[period:] = total[period:] - total[: len(ranges) - period]
    return sums
