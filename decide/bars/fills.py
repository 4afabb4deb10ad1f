"""Where orders fill and where their positions leave, each order by itself: whole columns of orders at once.

A bar says nothing of the order of its high and low: where both stop and target lie in it, the stop was first. An order
may fill from the bar after its signal on, never in it. Prices are whole millionths of a dollar; a seller's are looked
at upside down (times -1), so that one text serves both sides. docs/method-inside-bar.md has the rules with examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decide.bars.bars import Bars
from decide.bars.orders import ENTRY_ORDERS, Orders
from decide.bars.ticks import Flags, Floats, Ints, dollars, ratio

STOP, LIMIT, MARKET = range(len(ENTRY_ORDERS))
EXITS = ("stop_loss", "take_profit", "time_exit")
STOPPED, TARGET, TIME = range(len(EXITS))
FIRST_COLUMNS = 6  # bars ahead that are looked at first
MOST_CELLS = 2_000_000  # of a table of orders by bars that is looked at in one go


@dataclass(frozen=True)
class Entries:
    """Per order (K,): the bar it is reached in and the price there, in millionths, before costs."""

    row: Ints  # where not reached: the first row behind the order's life
    is_reached: Flags
    at_open: Flags  # the whole bar came after it
    price: Ints
    is_gapped: Flags  # the bar opened beyond the target: no entry


@dataclass(frozen=True)
class Exits:
    """Per order (K,): the bar its position leaves in, the price there before costs, and why (place in EXITS)."""

    row: Ints
    price: Ints
    reason: Ints
    last: Ints  # the first row behind the position's life


def half_spread(price: Ints, spread_bps: float) -> Ints:
    """Half of the spread at a price, in millionths, to the nearest."""
    share = ratio(spread_bps) / 20_000
    up, down = share.numerator, share.denominator
    return np.asarray((2 * price * up + down) // (2 * down)) if up else np.zeros_like(price)


def entries(bars: Bars, orders: Orders, spread_bps: float, step: int) -> Entries:
    """The entry of every order. Only bars that open and close within its life count."""
    first = np.searchsorted(bars.labels, orders.valid_from)
    last = np.searchsorted(bars.labels, orders.valid_to - step, side="right")
    last = np.maximum(last, first)
    row, at_open = last.copy(), np.zeros(len(orders), np.bool_)
    ahead = _Ahead(first, last, len(bars))
    for part, cells, within in ahead:
        is_open, is_hit = _reached(bars, orders, part, cells, spread_bps)
        hit = (is_open | is_hit) & within
        place = hit.argmax(axis=1)
        every = np.arange(len(place))
        found = hit[every, place]
        row[part] = np.where(found, cells[every, place], row[part])
        at_open[part] = found & is_open[every, place]
        ahead.settle(found)
    is_reached = row < last
    at = np.minimum(row, max(len(bars) - 1, 0))
    price = np.where(at_open, bars.exact[0][at], orders.entry) if len(bars) else orders.entry
    is_gapped = is_reached & (orders.sign * (price - orders.target) >= 0)
    return Entries(row, is_reached, at_open, price, is_gapped)


def _reached(bars: Bars, orders: Orders, part: Ints, cells: Ints, spread_bps: float) -> tuple[Flags, Flags]:
    """Per order and bar: does it fill at the open, does it fill within?"""
    opened, high, low, _ = bars.exact
    kind, sign = orders.kind[part, None], orders.sign[part, None]
    level = sign * orders.entry[part, None]
    start = sign * opened[cells]
    upper, lower = np.where(sign > 0, high[cells], -low[cells]), np.where(sign > 0, low[cells], -high[cells])
    half = half_spread(orders.entry[part, None], spread_bps)  # a limit waits until the other side has come to it
    is_open = np.where(kind == STOP, start >= level, np.where(kind == LIMIT, start + half <= level, True))
    is_hit = np.where(kind == STOP, upper >= level, lower + half <= level)
    return is_open, is_hit


def exits(bars: Bars, orders: Orders, found: Entries, spread_bps: float, step: int) -> Exits:
    """The exit of every position: stop (first, when a bar holds both), target, or the last close before `exit_by`.

    In the entry bar itself the stop counts wherever the bar's low (high) lies, which may have been before the entry:
    pessimistic. The target counts there only for an entry at the open or on the way to it (stop orders). An entry at or
    beyond its own stop leaves at once, at its fill: a protective stop never earns.
    """
    count = len(orders)
    first = np.where(found.is_reached, found.row, 0)
    last = np.maximum(first + 1, np.searchsorted(bars.labels, orders.exit_by - step, side="right"))
    last = np.where(found.is_reached & ~found.is_gapped, last, first)
    row, reason = np.maximum(last - 1, 0), np.full(count, TIME, dtype=np.int64)
    price = bars.exact[3][np.minimum(row, max(len(bars) - 1, 0))] if len(bars) else np.zeros(count, np.int64)
    ahead = _Ahead(first, last, len(bars))
    for part, cells, within in ahead:
        is_over, at, why, left_at = _ends(bars, orders, found, part, cells, within, spread_bps)
        row[part] = np.where(is_over, at, row[part])
        reason[part] = np.where(is_over, why, reason[part])
        price[part] = np.where(is_over, left_at, price[part])
        ahead.settle(is_over)
    return Exits(row, price, reason, last)


def _ends(
    bars: Bars, orders: Orders, found: Entries, part: Ints, cells: Ints, within: Flags, spread_bps: float
) -> tuple[Flags, Ints, Ints, Ints]:
    """Per order: does stop or target end it within these bars, in which, which of them, at what price?"""
    opened, high, low, _ = bars.exact
    sign = orders.sign[part]
    side = sign[:, None]
    stop, target = sign * orders.stop[part], sign * orders.target[part]
    upper, lower = np.where(side > 0, high[cells], -low[cells]), np.where(side > 0, low[cells], -high[cells])
    half = half_spread(orders.target[part], spread_bps)
    is_stopped = (lower <= stop[:, None]) & within
    is_target = (upper - half[:, None] >= target[:, None]) & within
    may_reach = found.at_open[part] | (orders.kind[part] == STOP)
    is_first = cells[:, 0] == found.row[part]  # the entry bar is among these
    is_target[:, 0] &= may_reach | ~is_first
    entered = sign * found.price[part]
    is_spent = is_first & (entered <= stop)  # filled at or beyond its own stop
    is_stopped[:, 0] |= is_spent & within[:, 0]
    over = is_stopped | is_target
    place = over.argmax(axis=1)
    every = np.arange(len(place))
    stopped = is_stopped[every, place]
    start = sign * opened[cells[every, place]]
    in_entry = is_first & (place == 0)
    at_stop = np.where(in_entry, np.where(is_spent, entered, stop), np.minimum(start, stop))
    at_target = np.where(in_entry, target, np.where(start - half >= target, start, target))
    price = sign * np.where(stopped, at_stop, at_target)
    return over[every, place], cells[every, place], np.where(stopped, STOPPED, TARGET), price


class _Ahead:
    """Bars ahead of each order, a few columns at a time: most are settled by the first bars, and leave the table."""

    def __init__(self, first: Ints, last: Ints, count: int) -> None:
        self._first, self._last, self._count = first, last, count
        self._settled: Flags = np.zeros(len(first), np.bool_)
        self._part: Ints = np.arange(0)

    def __iter__(self) -> Iterator[tuple[Ints, Ints, Flags]]:
        """Orders, rows of their next bars, and which of these they still live in."""
        offset, width = 0, FIRST_COLUMNS
        open_ones = np.flatnonzero(self._last > self._first) if self._count else np.arange(0)
        while len(open_ones):
            for begin in range(0, len(open_ones), MOST_CELLS // width + 1):
                self._part = open_ones[begin : begin + MOST_CELLS // width + 1]
                cells = self._first[self._part, None] + np.arange(offset, offset + width)
                yield self._part, np.minimum(cells, self._count - 1), cells < self._last[self._part, None]
            offset += width
            width *= 3
            lives_on = ~self._settled[open_ones] & (self._first[open_ones] + offset < self._last[open_ones])
            open_ones = open_ones[lives_on]

    def settle(self, flags: Flags) -> None:
        """Which of the orders of the newest part need no more bars."""
        self._settled[self._part] = flags


def entry_prices(orders: Orders, found: Entries, slippage_bps: float, spread_bps: float) -> Floats:
    """What is paid (got, for sellers) per share in USD: limits to the cent, the rest with slippage and half a
    spread.
    """
    half = half_spread(found.price, spread_bps)
    pays = (orders.kind != LIMIT) | found.at_open
    quoted = dollars(found.price + orders.sign * np.where(pays, half, 0))
    slips = np.where(orders.kind == LIMIT, 0.0, orders.sign * slippage_bps / 1e4)
    return np.asarray(quoted * (1 + slips))


def exit_prices(orders: Orders, left: Exits, slippage_bps: float, spread_bps: float) -> Floats:
    """The same on leaving: a target is a limit, unless the bar opened beyond it; the rest pays."""
    return leave_prices(orders.sign, left.price, left.reason, orders.target, slippage_bps, spread_bps)


def leave_prices(sign: Ints, price: Ints, reason: Ints, target: Ints, slippage_bps: float, spread_bps: float) -> Floats:
    """USD per share for leaving at `price` (millionths, before costs)."""
    is_limit = reason == TARGET
    pays = ~is_limit | (price != target)
    quoted = dollars(price - sign * np.where(pays, half_spread(price, spread_bps), 0))
    slips = np.where(is_limit, 0.0, sign * slippage_bps / 1e4)
    return np.asarray(quoted * (1 - slips))
