"""The inside-bar breakout: one pure function from bars to signals, the same for a backtest and for live bars.

docs/bars/method-inside-bar.md states the rules with their sources. A signal is known at the close of its trigger bar
and rests on bars up to it only; orders it asks for are valid from the next bar on. Every comparison of prices is one
of whole numbers (`decide.bars.ticks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from decide.bars.bars import Bars
from decide.bars.orders import ENTRY_ORDERS, Findings, Orders, Rejection, Side, Signal
from decide.bars.patterns import Series
from decide.bars.rules import Rules, Windows
from decide.bars.ticks import MICROS, Flags, Ints, at_most, dollars, ratio, scaled

MOST_CELLS = 4_000_000  # of a table of candidates by bars that is looked at in one go


@dataclass(frozen=True)
class Trace:
    """Every inside bar that was looked at, in time order (V,): rows of bars, prices in millionths."""

    inside: Ints
    trigger: Ints  # the bar that broke a level, or the last one that might have
    stop: Ints  # the first row that may not break it any more
    broken: Flags
    is_up: Flags
    is_down: Flags
    is_far: Flags
    top: Ints
    bottom: Ints

    def __getitem__(self, rows: Any) -> Trace:
        return Trace(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def trace(series: Series, rules: Rules, windows: Windows) -> Trace:
    """What becomes of every inside bar that is armed: the first of a window is, later ones once it is decided."""
    rows = np.flatnonzero(series.armable(rules, windows))
    found = _followed(series, rules, windows, rows)
    end = _window_end(series, windows, rows)
    if rules.entry_legs == "both_sides":
        ends = np.searchsorted(series.bars.labels, _order_end(series, rules, windows, rows, rows))
        done = np.where(found.is_far, rows + 1, ends)  # too far for an order: nothing lives that others wait for
        is_signal = ~found.is_far
    else:
        done = found.trigger + 1
        is_signal = found.broken & ~(found.is_up & found.is_down) & ~found.is_far
    resume = np.where(found.broken, done, found.stop)
    if rules.first_inside_bar_only:
        resume = np.where(is_signal, end, resume)
    following = np.searchsorted(rows, np.maximum(resume, rows + 1)).tolist()
    seen, place = [], 0
    while place < len(rows):
        seen.append(place)
        place = following[place]
    return found[np.array(seen, dtype=np.int64)]


def _window_end(series: Series, windows: Windows, rows: Ints) -> Ints:
    """The first row behind the window that each row lies in."""
    number, ends = series.numbers(windows)
    return np.asarray(ends[number[rows]] if len(ends) else rows)


def _followed(series: Series, rules: Rules, windows: Windows, rows: Ints) -> Trace:
    """The first bar beyond a level, for every candidate by itself."""
    bars = series.bars
    _, high, low, close = bars.exact
    source = rows - 1 if rules.entry_level_mode == "mother_bar" else rows
    top, bottom = high[source], low[source]
    last = bars.labels[rows] + rules.max_pattern_age_candles * rules.step
    stop = np.minimum(_window_end(series, windows, rows), np.searchsorted(bars.labels, last, side="right"))
    if rules.entry_legs == "both_sides":
        trigger, is_up, is_down = rows, np.ones(len(rows), np.bool_), np.ones(len(rows), np.bool_)
        broken = is_up
    else:
        upper, lower = (close, close) if rules.require_close_beyond_mother else (high, low)
        trigger, broken = _first_beyond(rows, stop, top, bottom, upper, lower)
        is_up, is_down = broken & (upper[trigger] > top), broken & (lower[trigger] < bottom)
    limit, sums = rules.max_deviation_atr, series.sums(rules.atr_period)[rows - 1]
    far = np.maximum(np.where(is_up, np.abs(top - close[rows]), 0), np.where(is_down, np.abs(bottom - close[rows]), 0))
    is_far = ~at_most(far, sums, ratio(limit), rules.atr_period) if limit else np.zeros(len(rows), np.bool_)
    return Trace(rows, trigger, stop, broken, is_up, is_down, is_far, top, bottom)


def _first_beyond(rows: Ints, stop: Ints, top: Ints, bottom: Ints, upper: Ints, lower: Ints) -> tuple[Ints, Flags]:
    """Row of the first bar in (row, stop) beyond top or bottom, and whether there is one (else the last row looked
    at).
    """
    trigger, broken = np.maximum(stop - 1, rows), np.zeros(len(rows), np.bool_)
    for part in _parts(rows, int((stop - rows).max(initial=1))):
        wide = np.arange(1, max(2, int((stop[part] - rows[part]).max(initial=1))))
        cells = rows[part, None] + wide
        within = cells < stop[part, None]
        cells = np.minimum(cells, len(upper) - 1)
        beyond = ((upper[cells] > top[part, None]) | (lower[cells] < bottom[part, None])) & within
        first = beyond.argmax(axis=1)
        hit = beyond[np.arange(len(first)), first]
        broken[part] = hit
        trigger[part] = np.where(hit, rows[part] + 1 + first, trigger[part])
    return trigger, broken


def _parts(rows: Ints, width: int) -> Iterator[slice]:
    size = max(1, MOST_CELLS // max(width, 1))
    for start in range(0, len(rows), size):
        yield slice(start, start + size)


def _order_end(series: Series, rules: Rules, windows: Windows, inside: Ints, trigger: Ints) -> Ints:
    """When the order of a pattern ends, unix seconds; one on both sides not after the pattern has grown too old."""
    labels, number = series.bars.labels, series.numbers(windows)[0]
    valid_from = labels[trigger] + rules.step
    end = windows.ends[number[inside]]
    if rules.order_validity_policy == "one_bar":
        end = np.minimum(end, valid_from + rules.step)
    elif rules.order_validity_policy == "fixed_minutes":
        end = np.minimum(end, valid_from + rules.order_validity_minutes * 60)
    if rules.entry_legs == "both_sides":
        end = np.minimum(end, valid_from + rules.max_pattern_age_candles * rules.step)
    return np.asarray(end)


@dataclass(frozen=True)
class Legs:
    """The orders of a trace as columns, with the rows of the bars they came from (K,)."""

    orders: Orders
    inside: Ints
    trigger: Ints
    no_risk: Flags
    no_time: Flags
    no_target: Flags


def legs(series: Series, rules: Rules, windows: Windows, traced: Trace, entry_order: str = "stop") -> Legs:
    """The orders of every signal of a trace: levels, stops and targets on the tick."""
    if rules.entry_legs == "both_sides":
        kept = traced[~traced.is_far]
        kept = kept[np.repeat(np.arange(len(kept.inside)), 2)]
        sign = np.tile(np.array([1, -1], dtype=np.int64), len(kept.inside) // 2)
    else:
        kept = traced[traced.broken & (traced.is_up ^ traced.is_down) & ~traced.is_far]
        sign = np.where(kept.is_up, 1, -1).astype(np.int64)
    ticks = rules.ticks
    top, bottom = ticks.nearest(kept.top), ticks.nearest(kept.bottom)
    entry = np.where(sign > 0, top, bottom)
    tick, risk = ticks.at(entry), top - bottom
    if rules.stop_distance_cap_ticks:
        risk = np.minimum(risk, rules.stop_distance_cap_ticks * tick)
    target = entry + sign * scaled(risk, ratio(rules.risk_reward_ratio), tick)
    labels, number = series.bars.labels, series.numbers(windows)[0]
    valid_from = labels[kept.trigger] + rules.step
    valid_to = _order_end(series, rules, windows, kept.inside, kept.trigger)
    no_risk, no_time, no_target = risk <= 0, valid_to <= valid_from, target <= 0
    orders = Orders(
        known_at=valid_from,
        trigger_at=labels[kept.trigger],
        sign=sign,
        kind=np.full(len(sign), ENTRY_ORDERS.index(entry_order), dtype=np.int64),
        entry=entry,
        stop=entry - sign * risk,
        target=target,
        valid_from=valid_from,
        valid_to=valid_to,
        exit_by=windows.ends[number[kept.inside]] if len(windows.ends) else valid_to,
        is_order=~(no_risk | no_time | no_target),
    )
    return Legs(orders, kept.inside, kept.trigger, no_risk, no_time, no_target)


def find_signals(bars: Bars, rules: Rules, windows: Windows) -> Findings:
    """Signals and rejected inside bars in `bars` (N,), which may span any number of windows.

    What it says about a window is final once the window's bars are there and `rules.warmup` bars stand before it;
    bars after a signal never change it. A missing bar is no bar: the pair around it is no pattern.
    """
    if len(bars) < 2:
        return Findings(())
    series = Series(bars)
    traced = trace(series, rules, windows)
    signals = signals_of(series, rules, legs(series, rules, windows, traced))
    inside, _ = series.pairs(rules, windows)
    refused = np.flatnonzero(inside & ~series.armable(rules, windows)).tolist()
    rejections = [_refused(series, rules, windows, row) for row in refused]
    rejections += _undecided(series, rules, windows, traced)
    return Findings(signals, tuple(sorted(rejections, key=lambda r: (r.known_at, r.inside_at))))


def signals_of(series: Series, rules: Rules, found: Legs) -> tuple[Signal, ...]:
    bars, orders, rows = series.bars, found.orders, found.inside
    atr = series.sums(rules.atr_period)[rows - 1] / rules.atr_period / MICROS
    sides: list[Side] = ["BUY" if sign > 0 else "SELL" for sign in orders.sign.tolist()]
    named = {
        "trigger_at": orders.trigger_at,
        "signal_at": orders.known_at,
        "entry_price": dollars(orders.entry),
        "stop_price": dollars(orders.stop),
        "take_profit_price": dollars(orders.target),
        "valid_from": orders.valid_from,
        "valid_to": orders.valid_to,
        "exit_by": orders.exit_by,
        "mother_at": bars.labels[rows - 1],
        "inside_at": bars.labels[rows],
        "mother_high": bars.high[rows - 1],
        "mother_low": bars.low[rows - 1],
        "inside_high": bars.high[rows],
        "inside_low": bars.low[rows],
        "atr": atr,
    }
    why = np.select(
        [found.no_time, found.no_risk, found.no_target],
        ["invalid_validity_window", "no_risk", "target_not_positive"],
        "",
    )
    columns = zip(sides, why.tolist(), *(values.tolist() for values in named.values()), strict=True)
    return tuple(
        Signal(side=side, reason=reason, **dict(zip(named, values, strict=True))) for side, reason, *values in columns
    )


def _refused(series: Series, rules: Rules, windows: Windows, row: int) -> Rejection:
    """Why the inside bar of this row is not armed."""
    if not series.pairs(rules, windows)[1][row]:
        reason = "mother_bar_outside_session"
    elif not series.large(rules)[row]:
        reason = "mother_bar_too_small" if series.sums(rules.atr_period)[row - 1] >= 0 else "atr_unknown"
    elif not series.bodied(rules.min_mother_body_fraction)[row - 1]:
        reason = "mother_body_too_small"
    else:
        reason = "inside_body_too_small"
    label = int(series.bars.labels[row])
    return Rejection(label, label + rules.step, reason)


def _undecided(series: Series, rules: Rules, windows: Windows, traced: Trace) -> list[Rejection]:
    """Armed inside bars that led to no signal, as far as the bars say so already."""
    labels, number = series.bars.labels, series.numbers(windows)[0]
    found, last = [], int(labels[-1]) + rules.step
    is_both = traced.is_up & traced.is_down if rules.entry_legs == "breakout" else np.zeros_like(traced.is_far)
    for n in np.flatnonzero(~traced.broken | is_both | traced.is_far).tolist():
        inside_at, window_end = int(labels[traced.inside[n]]), int(windows.ends[number[traced.inside[n]]])
        if traced.broken[n]:
            reason = "both_sides_broken" if is_both[n] else "level_too_far"
            found.append(Rejection(inside_at, int(labels[traced.trigger[n]]) + rules.step, reason))
            continue
        known_at = min(inside_at + (rules.max_pattern_age_candles + 1) * rules.step, window_end)
        if last >= known_at:
            found.append(Rejection(inside_at, known_at, "pattern_expired" if known_at < window_end else "no_breakout"))
    return found
