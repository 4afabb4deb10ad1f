"""The inside bar at a live bar's close: what the last bar of each of many series triggers, if it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from decide.bars.bars import Bars
from decide.bars.inside_bar import legs, signals_of, trace
from decide.bars.orders import Signal
from decide.bars.patterns import COMPARE, DEFINITIONS, Series
from decide.bars.rules import Rules, Windows
from decide.bars.ticks import Flags


def may_trigger(bars: Bars, rules: Rules) -> Flags:
    """For K symbols at once: can the last bar trigger anything? (K,) from prices (K, N), labels (N,) of one window.

    A necessary condition, without ATR and state: some bar young enough is inside the one before it, and the last bar is
    the first beyond its levels. Where it is False, `signals_at_close` says nothing (a test compares them).
    """
    count = len(bars.labels)
    prices = (bars.open, bars.high, bars.low, bars.close)
    contains, below = DEFINITIONS[rules.inside_bar_definition_mode], COMPARE[rules.inside_bar_mode]
    if rules.entry_legs == "both_sides":
        if count < 2:
            return np.zeros(len(bars.close), dtype=np.bool_)
        last_two: list[Any] = [tuple(p[:, n] for p in prices) for n in (-2, -1)]
        return np.asarray(contains(last_two[0], last_two[1], below))
    if count < 3:
        return np.zeros(len(bars.close), dtype=np.bool_)
    first = max(1, count - 1 - rules.max_pattern_age_candles)
    mother, inner = (
        tuple(p[:, rows] for p in prices) for rows in (slice(first - 1, count - 2), slice(first, count - 1))
    )
    contained = np.asarray(contains(mother, inner, below))  # type: ignore[arg-type]
    source = mother if rules.entry_level_mode == "mother_bar" else inner
    by_close = rules.require_close_beyond_mother
    upper, lower = (bars.close, bars.close) if by_close else (bars.high, bars.low)
    upper, lower = upper[:, first + 1 :], lower[:, first + 1 :]  # what comes after each candidate
    highest = np.maximum.accumulate(upper[:, -2::-1], axis=1)[:, ::-1]  # from each bar on, the last one left out
    lowest = np.minimum.accumulate(lower[:, -2::-1], axis=1)[:, ::-1]
    is_unbroken = np.ones_like(contained)
    is_unbroken[:, :-1] = (highest <= source[1][:, :-1]) & (lowest >= source[2][:, :-1])
    is_beyond = (upper[:, -1:] > source[1]) | (lower[:, -1:] < source[2])
    return np.asarray((contained & is_unbroken & is_beyond).any(axis=1))


def signals_at_close(bars: Bars, rules: Rules, windows: Windows) -> tuple[Signal, ...]:
    """The signals that the last of `bars` triggers, if it does: what a live run asks at every close."""
    return signals_at_closes([bars], rules, windows)[0]


def signals_at_closes(many: Sequence[Bars], rules: Rules, windows: Windows) -> list[tuple[Signal, ...]]:
    """The same for K series at once, each by itself: in the order of `many`.

    They are laid one behind the other in time, each with its own window and warm-up, and looked at in one pass: most
    of what one short series costs is numpy's calls, not its numbers.
    """
    said: list[tuple[Signal, ...]] = [()] * len(many)
    together: list[tuple[int, Bars, int]] = []
    for place, bars in enumerate(many):
        number = int(windows.of_labels(bars.labels[-1:])[0]) if len(bars) > 1 else -1
        if number < 0:
            continue
        first = int(np.searchsorted(bars.labels, windows.starts[number]))
        part = (place, bars[max(0, first - rules.warmup) :], number)
        if first >= rules.warmup:
            together.append(part)
        else:  # its first true ranges would reach into the series before it
            said[place] = _last_signals([part], rules, windows)[0]
    for (place, _, _), signals in zip(together, _last_signals(together, rules, windows), strict=True):
        said[place] = signals
    return said


def _last_signals(parts: Sequence[tuple[int, Bars, int]], rules: Rules, windows: Windows) -> list[tuple[Signal, ...]]:
    """What the last bar of every part triggers; a part's bars, and the number of the window its last one lies in."""
    if not parts:
        return []
    numbers = [number for _, _, number in parts]
    earliest = min(int(bars.labels[0]) for _, bars, _ in parts)
    stride = int(windows.ends[numbers].max()) - earliest + 2 * rules.step
    shifts = np.arange(len(parts), dtype=np.int64) * stride
    names = ("open", "high", "low", "close", "volume")
    joined = Bars(
        np.concatenate([bars.labels + shift for (_, bars, _), shift in zip(parts, shifts, strict=True)]),
        *(np.concatenate([getattr(bars, name) for _, bars, _ in parts]) for name in names),
    )
    laid = Windows(windows.starts[numbers] + shifts, windows.ends[numbers] + shifts)
    series, last = Series(joined), np.cumsum([len(bars) for _, bars, _ in parts]) - 1
    traced = trace(series, rules, laid)
    found = legs(series, rules, laid, traced[np.isin(traced.trigger, last)])
    said: list[tuple[Signal, ...]] = [()] * len(parts)
    owners = np.searchsorted(last, found.trigger).tolist()
    for owner, signal in zip(owners, signals_of(series, rules, found), strict=True):
        said[owner] += (_moved(signal, -int(shifts[owner])),)
    return said


def _moved(signal: Signal, seconds: int) -> Signal:
    """The same signal at another time."""
    times = ("trigger_at", "signal_at", "valid_from", "valid_to", "exit_by", "mother_at", "inside_at")
    return replace(signal, **{name: getattr(signal, name) + seconds for name in times})
