"""What signals on bars would have earned: orders, fills, costs, equity. Pessimistic where a bar leaves the order open.

Orders live in time: of several that wait, the one that is reached first is the position, and one that is reached
while a
position is open is refused. `decide.bars.fills` says where each is reached; here they are put in order, sized and paid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from decide.bars.bars import Bars
from decide.bars.fills import (
    EXITS,
    STOPPED,
    TIME,
    Entries,
    Exits,
    entries,
    entry_prices,
    exit_prices,
    exits,
    leave_prices,
)
from decide.bars.orders import ENTRY_ORDERS, Orders, Signal
from decide.bars.rules import parse_record
from decide.bars.ticks import Flags, Ints, dollars
from decide.errors import DecisionError
from decide.uncertainty import Floats, Interval, bootstrap_interval, compounded_band

EXIT_AT = ("window_end", "session_close")
YEAR_SECONDS = 365 * 86_400
OUTCOMES = ("filled", "not_reached", "gapped_past_target", "position_open", "too_small", "no_volume", "cancelled", "")
FILLED, NOT_REACHED, GAPPED, POSITION_OPEN, TOO_SMALL, NO_VOLUME, CANCELLED, NO_ORDER = range(len(OUTCOMES))


@dataclass(frozen=True)
class Execution:
    """How orders are filled, what that costs, how large they are; rows `execution` of the `bar_strategies` seed."""

    entry_order: str
    exit_at: str
    slippage_bps: float
    commission_per_share_usd: float
    initial_equity_usd: float
    max_position_share: float
    max_loss_share: float
    spread_bps: float = 0.0  # between bid and ask; half of it is lost on every fill that takes
    borrow_bps_per_year: float = 0.0  # on the value of a short position, for the time it is held
    max_volume_share: float = 0.0  # of a bar's volume that may be ours; 0: any

    def __post_init__(self) -> None:
        for name, allowed in (("entry_order", ENTRY_ORDERS), ("exit_at", EXIT_AT)):
            if getattr(self, name) not in allowed:
                raise DecisionError(f"{name} = {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        for name in ("initial_equity_usd", "max_position_share", "max_loss_share"):
            if not getattr(self, name) > 0:
                raise DecisionError(f"{name} = {getattr(self, name)!r} must be above 0")

    def at_costs(self, multiple: float) -> Execution:
        """The same with every cost taken `multiple` times."""
        names = ("slippage_bps", "commission_per_share_usd", "spread_bps", "borrow_bps_per_year")
        return replace(self, **{name: getattr(self, name) * multiple for name in names})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Execution:
        """From named values, text or typed."""
        return parse_record(cls, values)


@dataclass(frozen=True)
class Trade:
    """What became of one signal. Without a fill everything after `outcome` is None or 0."""

    signal: Signal
    outcome: str  # one of OUTCOMES, or the signal's own reason
    quantity: int = 0
    fill_at: int | None = None  # label of the bar the entry filled in
    fill_price: float | None = None
    exit_at: int | None = None
    exit_price: float | None = None
    exit_reason: str | None = None  # stop_loss, take_profit, time_exit
    gross_usd: float = 0.0
    cost_usd: float = 0.0  # commission and borrow; slippage and spread are in the prices
    net_usd: float = 0.0
    r_multiple: float | None = None  # net over what the stop would have lost at the signal's levels
    equity_usd: float = 0.0  # after it
    equity_low_usd: float | None = None  # where it might stand as well, had the same trades come in another draw
    equity_high_usd: float | None = None


@dataclass(frozen=True)
class Book:
    """What became of K orders, as columns (K,); `order` are the filled ones in the order they filled."""

    outcome: Ints  # place in OUTCOMES
    quantity: Ints
    fill_row: Ints
    fill_price: Floats
    exit_row: Ints
    exit_price: Floats
    exit_reason: Ints  # place in EXITS
    gross_usd: Floats
    cost_usd: Floats
    r_multiple: Floats
    equity_usd: Floats
    order: Ints

    @property
    def net_usd(self) -> Floats:
        """Gross less cost."""
        return self.gross_usd - self.cost_usd


def in_order(signals: Sequence[Signal]) -> list[Signal]:
    """Signals as a book takes them: by when they were known."""
    return sorted(signals, key=lambda s: (s.signal_at, s.trigger_at, s.side))


def simulate_trades(bars: Bars, signals: Sequence[Signal], closes: Ints, rule: Execution, step: int) -> list[Trade]:
    """A trade per signal, in time order. `closes` (S,) are the sessions' closes, unix seconds ascending; step
    seconds.
    """
    ordered = in_order(signals)
    if not ordered:
        return []
    book = keep_book(bars, Orders.of(ordered, rule.entry_order), closes, rule, step)
    return [_trade(bars, signal, book, k) for k, signal in enumerate(ordered)]


def _trade(bars: Bars, signal: Signal, book: Book, k: int) -> Trade:
    outcome = OUTCOMES[book.outcome[k]] or signal.reason
    equity = float(book.equity_usd[k])
    if book.outcome[k] != FILLED:
        return Trade(signal, outcome, equity_usd=equity)
    return Trade(
        signal,
        outcome,
        quantity=int(book.quantity[k]),
        fill_at=int(bars.labels[book.fill_row[k]]),
        fill_price=float(book.fill_price[k]),
        exit_at=int(bars.labels[book.exit_row[k]]),
        exit_price=float(book.exit_price[k]),
        exit_reason=EXITS[book.exit_reason[k]],
        gross_usd=float(book.gross_usd[k]),
        cost_usd=float(book.cost_usd[k]),
        net_usd=float(book.net_usd[k]),
        r_multiple=float(book.r_multiple[k]),
        equity_usd=equity,
    )


def keep_book(bars: Bars, orders: Orders, closes: Ints, rule: Execution, step: int) -> Book:
    """Fill, size and pay `orders`, one position at a time. The bar a position leaves in is still its own."""
    if rule.exit_at == "session_close":
        place = np.searchsorted(closes, orders.known_at, side="right")
        later = np.r_[closes, 0][place]
        orders = _until(orders, np.where(later > 0, later, orders.exit_by))
    found = entries(bars, orders, rule.spread_bps, step)
    left = exits(bars, orders, found, rule.spread_bps, step)
    return _settle(bars, orders, found, left, rule, step)


def _until(orders: Orders, exit_by: Ints) -> Orders:
    return Orders(**{**vars(orders), "exit_by": exit_by})


def _first_legs(orders: Orders, found: Entries, left: Exits) -> Flags:
    """Which orders are not cancelled by another leg of theirs: of one close the first that is reached stands.

    In one and the same bar an open decides; where that leaves several, the leg that comes off worse (none: nothing).
    """
    stands = np.ones(len(orders), np.bool_)
    _, group, size = np.unique(orders.known_at, return_inverse=True, return_counts=True)
    several = np.flatnonzero(size[group] > 1)
    if not len(several):
        return stands
    result = np.where(found.is_gapped, 0, orders.sign * (left.price - found.price))
    keys = (orders.sign < 0, result, ~found.at_open, found.row, ~found.is_reached, ~orders.is_order, group)
    ranked = several[np.lexsort([key[several] for key in keys])]
    is_first = np.r_[True, np.diff(group[ranked]) > 0]
    best = ranked[np.maximum.accumulate(np.where(is_first, np.arange(len(ranked)), 0))]
    stands[ranked] = is_first | ~found.is_reached[best]  # none reached: none cancelled
    return stands


def _settle(bars: Bars, orders: Orders, found: Entries, left: Exits, rule: Execution, step: int) -> Book:
    """Orders in the order they are reached: at an open before within the bar, then the older signal."""
    count = len(orders)
    stands = _first_legs(orders, found, left)
    outcome = np.where(found.is_reached, np.where(found.is_gapped, GAPPED, FILLED), NOT_REACHED)
    outcome = np.where(orders.is_order, np.where(stands, outcome, CANCELLED), NO_ORDER).astype(np.int64)
    paid = entry_prices(orders, found, rule.slippage_bps, rule.spread_bps)
    got = exit_prices(orders, left, rule.slippage_bps, rule.spread_bps)
    risk = dollars(np.abs(orders.entry - orders.stop))
    ranked = np.lexsort((np.arange(count), orders.known_at, ~found.at_open, found.row))
    waiting = ranked[outcome[ranked] == FILLED]
    exit_row, quantity, gross = left.row.copy(), np.zeros(count, np.int64), np.zeros(count)
    cost, equity_after = np.zeros(count), np.full(count, rule.initial_equity_usd)
    equity, free, filled = rule.initial_equity_usd, 0, []
    rows, leaves, prices, leave_at, risks = (column.tolist() for column in (found.row, left.row, paid, got, risk))
    signs, charge = orders.sign.tolist(), 2 * rule.commission_per_share_usd
    most_price, most_risk = rule.max_position_share, rule.max_loss_share
    is_plain = not rule.borrow_bps_per_year and not rule.max_volume_share
    for k in waiting.tolist():
        if rows[k] < free:
            outcome[k], equity_after[k] = POSITION_OPEN, equity
            continue
        size = math.floor(round(min(equity * most_price / prices[k], equity * most_risk / risks[k]), 9))
        if size < 1:
            outcome[k], equity_after[k] = TOO_SMALL, equity
            continue
        if is_plain:
            earned, spent, out = signs[k] * (leave_at[k] - prices[k]) * size, size * charge, leaves[k]
        else:
            size = _allowed(bars, rows[k], size, rule)
            if size < 1:
                outcome[k], equity_after[k] = NO_VOLUME, equity
                continue
            got[k], out = _leave(bars, orders, left, k, size, rule)
            earned = signs[k] * (float(got[k]) - prices[k]) * size
            spent = size * charge + _borrow(bars, signs[k], rows[k], out, prices[k] * size, rule, step)
        equity += earned - spent
        free = out + 1
        filled.append(k)
        quantity[k], gross[k], cost[k], exit_row[k], equity_after[k] = size, earned, spent, out, equity
    order = np.array(filled, dtype=np.int64)
    equity_after = _carried(found, outcome, order, equity_after, rule)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_multiple = np.where(quantity > 0, (gross - cost) / (quantity * risk), 0.0)
    return Book(
        outcome, quantity, found.row, paid, exit_row, got, left.reason, gross, cost, r_multiple, equity_after, order
    )


def _carried(found: Entries, outcome: Ints, order: Ints, equity_after: Floats, rule: Execution) -> Floats:
    """For orders that came to nothing on their own: the equity after all that filled before their end."""
    idle = np.isin(outcome, (NOT_REACHED, GAPPED, CANCELLED, NO_ORDER))
    known = np.r_[rule.initial_equity_usd, equity_after[order]]
    place = np.searchsorted(found.row[order], found.row, side="left")
    return np.where(idle, known[place], equity_after)


def _allowed(bars: Bars, row: int, size: int, rule: Execution) -> int:
    """Shares of `size` that a bar takes: the rest of an entry is cancelled. A bar of unknown volume takes none."""
    if not rule.max_volume_share:
        return size
    volume = float(bars.volume[row])
    return min(size, math.floor(round(volume * rule.max_volume_share, 9))) if volume > 0 else 0


def _leave(bars: Bars, orders: Orders, left: Exits, k: int, size: int, rule: Execution) -> tuple[float, int]:
    """Mean price and last bar of an exit in parts: what a bar does not take goes at the next opens, the last of it at
    the close that ends the position.
    """
    row, last, rest, value = int(left.row[k]), int(left.last[k]), size, 0.0
    price, reason = int(left.price[k]), int(left.reason[k])
    opened, _, _, close = bars.exact
    while True:
        part = rest if reason == TIME else _allowed(bars, row, rest, rule)
        value += part * _left_at(orders, k, price, reason, rule)
        rest -= part
        if not rest:
            return value / size, row
        if row + 1 >= last:
            return (value + rest * _left_at(orders, k, int(close[row]), TIME, rule)) / size, row
        row += 1
        price, reason = int(opened[row]), STOPPED


def _left_at(orders: Orders, k: int, price: int, reason: int, rule: Execution) -> float:
    one = slice(k, k + 1)
    found = leave_prices(
        orders.sign[one], np.array([price]), np.array([reason]), orders.target[one], rule.slippage_bps, rule.spread_bps
    )
    return float(found[0])


def _borrow(bars: Bars, sign: int, row: int, out: int, value: float, rule: Execution, step: int) -> float:
    if sign > 0:
        return 0.0
    held = int(bars.labels[out]) + step - int(bars.labels[row])
    return value * rule.borrow_bps_per_year / 1e4 * held / YEAR_SECONDS


@dataclass(frozen=True)
class Resampling:
    """How intervals are drawn; rows bootstrap_level, bootstrap_draws and bootstrap_seed of the `thresholds` seed."""

    level: float
    draws: int
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Resampling:
        """From the constants by name."""
        level, draws, seed = (values[f"bootstrap_{name}"] for name in ("level", "draws", "seed"))
        return cls(float(level), int(draws), int(seed))


def metrics(trades: Sequence[Trade], session_days: int, rule: Execution, how: Resampling) -> dict[str, Any]:
    """Figures of a run, JSON-ready. R is net profit over the loss that the stop stood for; shares are of equity.

    Intervals are block-bootstrapped over trades in time order (`decide.uncertainty`); too few trades: null and why.
    """
    filled = sorted((trade for trade in trades if trade.outcome == "filled"), key=lambda t: t.fill_at or 0)
    net = np.array([trade.net_usd for trade in filled])
    rs = np.array([trade.r_multiple for trade in filled], dtype=np.float64)
    equity = np.r_[rule.initial_equity_usd, [trade.equity_usd for trade in filled]]
    outcomes: dict[str, int] = {}
    for trade in trades:
        outcomes[trade.outcome] = outcomes.get(trade.outcome, 0) + 1
    exits_by = [trade.exit_reason for trade in filled]
    return {
        "sessions": session_days,
        "signals": len(trades),
        "outcomes": dict(sorted(outcomes.items())),
        "exits": {name: exits_by.count(name) for name in EXITS},
        **money(net, equity, float(sum(t.gross_usd for t in filled)), float(sum(t.cost_usd for t in filled))),
        "mean_r": _interval(rs, "mean", how),
        "median_r": _interval(rs, "median", how),
    }


def with_bands(trades: Sequence[Trade], rule: Execution, how: Resampling) -> list[Trade]:
    """The trades, each filled one with the band of the equity after it (`compounded_band` of returns on the equity
    before each: orders are sized by it). Too few trades: no band.
    """
    filled = sorted((n for n, t in enumerate(trades) if t.outcome == "filled"), key=lambda n: trades[n].fill_at or 0)
    after = np.array([trades[n].equity_usd for n in filled])
    before = np.r_[rule.initial_equity_usd, after[:-1]][: len(after)]
    if not len(after) or before.min() <= 0:
        return list(trades)
    band = compounded_band(np.maximum(after / before - 1, -1), how.level, how.draws, seed=how.seed)
    told = list(trades)
    for n, low, high in zip(filled, band.low.tolist(), band.high.tolist(), strict=False):  # no band: nothing to tell
        begun = rule.initial_equity_usd
        told[n] = replace(trades[n], equity_low_usd=begun * low, equity_high_usd=begun * high)
    return told


def money(net: Floats, equity: Floats, gross_usd: float, cost_usd: float) -> dict[str, Any]:
    """What filled trades earned: `net` (T,) in the order they filled, `equity` (T + 1,) before the first and after
    each.
    """
    lost = float(-net[net < 0].sum())
    peak = np.maximum.accumulate(equity)
    return {
        "trades": len(net),
        "wins": int((net > 0).sum()),
        "win_share": float((net > 0).mean()) if len(net) else None,
        "gross_usd": gross_usd,
        "cost_usd": cost_usd,
        "net_usd": float(net.sum()),
        "profit_factor": float(net[net > 0].sum()) / lost if lost > 0 else None,
        "return_share": float(equity[-1] / equity[0] - 1),
        "max_drawdown_share": float(((peak - equity) / peak).max()),
    }


def _interval(values: Floats, statistic: Any, how: Resampling) -> dict[str, Any]:
    if not len(values):
        return {"estimate": None, "low": None, "high": None, "level": how.level, "reason": "no trades"}
    found: Interval = bootstrap_interval(values, statistic, how.level, how.draws, seed=how.seed)
    low, high = (None if math.isnan(edge) else edge for edge in (found.low, found.high))
    reason = None if found.reason is None else found.reason.replace("epoch", "trade")
    return {"estimate": found.estimate, "low": low, "high": high, "level": how.level, "reason": reason}


def trade_row(trade: Trade) -> dict[str, Any]:
    """A trade as one flat row: the signal's fields, then its own."""
    flat = asdict(trade)
    signal = flat.pop("signal")
    return {**signal, **flat}
