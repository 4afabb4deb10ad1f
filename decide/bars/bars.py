"""Price bars as arrays: what a strategy sees. Labels are bar opens in unix seconds UTC; a bar is known at its close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

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
        values = [np.asarray(columns[name], dtype=np.float64) for name in (*PRICES, "volume")]
        bars = cls(labels, *values)
        problem = bars.problem()
        if problem:
            raise DecisionError(problem)
        return bars

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


def true_range(bars: Bars) -> Floats:
    """max(high − low, |high − previous close|, |low − previous close|), (N,); NaN for the first bar."""
    before = np.concatenate(([np.nan], bars.close[:-1])) if len(bars) else bars.close
    return np.maximum(bars.high - bars.low, np.maximum(np.abs(bars.high - before), np.abs(bars.low - before)))


def average_true_range(bars: Bars, period: int) -> Floats:
    """Simple mean of the last `period` true ranges, (N,); NaN until there are that many.

    The terms are added oldest first for every bar alike, so the same bars give the same bits however much history
    stands before them: a cumulative sum would not.
    """
    ranges = true_range(bars)
    mean = np.full(len(bars), np.nan)
    if len(bars) <= period:
        return mean
    total = np.zeros(len(bars) - period)
    for offset in range(1, period + 1):
        total = total + ranges[offset : len(bars) - period + offset]
    mean[period:] = total / period
    return mean
