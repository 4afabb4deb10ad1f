"""What signals on bars would have earned: orders, fills, costs, equity. Pessimistic where a bar leaves the order open.

A bar says nothing of the order of its high and low: where both stop and target lie in it, the stop was first. An order
may fill from the bar after its signal on, never in it. docs/bars/method-inside-bar.md has the rules with examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from decide.bars.bars import Bars, Ints
from decide.bars.inside_bar import Signal, parse_record
from decide.errors import DecisionError
from decide.uncertainty import Floats, Interval, bootstrap_interval

ENTRY_ORDERS = ("stop", "limit", "market")
EXIT_AT = ("window_end", "session_close")


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

    def __post_init__(self) -> None:
        for name, allowed in (("entry_order", ENTRY_ORDERS), ("exit_at", EXIT_AT)):
            if getattr(self, name) not in allowed:
                raise DecisionError(f"{name} = {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        for name in ("initial_equity_usd", "max_position_share", "max_loss_share"):
            if not getattr(self, name) > 0:
                raise DecisionError(f"{name} = {getattr(self, name)!r} must be above 0")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Execution:
        """From named values, text or typed."""
        return parse_record(cls, values)


@dataclass(frozen=True)
class Fill:
    """A price at which an order filled, in the bar of `row`; `at_open` says the whole bar came after it."""

    row: int
    price: float
    reason: str
    at_open: bool = False


@dataclass(frozen=True)
class Trade:
    """What became of one signal. Without a fill everything after `outcome` is None or 0."""

    signal: Signal
    outcome: str  # filled, or why not: the signal's reason, not_reached, gapped_past_target, too_small, position_open
    quantity: int = 0
    fill_at: int | None = None  # label of the bar the entry filled in
    fill_price: float | None = None
    exit_at: int | None = None
    exit_price: float | None = None
    exit_reason: str | None = None  # stop_loss, take_profit, time_exit
    gross_usd: float = 0.0
    cost_usd: float = 0.0  # commission; slippage is in the prices
    net_usd: float = 0.0
    r_multiple: float | None = None  # net over what the stop would have lost at the signal's levels
    equity_usd: float = 0.0  # after it


def simulate_trades(bars: Bars, signals: Sequence[Signal], closes: Ints, rule: Execution, step: int) -> list[Trade]:
    """A trade per signal, in time order. `closes` (S,) are the sessions' closes, unix seconds ascending; step seconds.

    One position at a time: a signal whose order could only fill while another is open is refused.
    """
    equity, free_from = rule.initial_equity_usd, -math.inf
    trades = []
    for signal in sorted(signals, key=lambda s: (s.signal_at, s.trigger_at)):
        end = _time_exit(signal, closes, rule)
        trade = _trade(bars, signal, end, rule, step, equity, free_from)
        equity += trade.net_usd
        if trade.exit_at is not None:
            free_from = trade.exit_at + step
        trades.append(replace(trade, equity_usd=equity))
    return trades


def _time_exit(signal: Signal, closes: Ints, rule: Execution) -> int:
    if rule.exit_at == "window_end":
        return signal.valid_to
    place = int(np.searchsorted(closes, signal.signal_at, side="right"))
    return int(closes[place]) if place < len(closes) else signal.valid_to


def _trade(bars: Bars, signal: Signal, end: int, rule: Execution, step: int, equity: float, free_from: float) -> Trade:
    if signal.reason:
        return Trade(signal, signal.reason)
    if signal.valid_from < free_from:
        return Trade(signal, "position_open")
    entry = enter(bars, signal, rule, step)
    if isinstance(entry, str):
        return Trade(signal, entry)
    risk = abs(signal.entry_price - signal.stop_price)
    quantity = _quantity(equity, entry.price, risk, rule)
    if quantity < 1:
        return Trade(signal, "too_small")
    leave = exit_from(bars, signal, entry, end, rule, step)
    sign = 1 if signal.side == "BUY" else -1
    gross = sign * (leave.price - entry.price) * quantity
    cost = 2 * quantity * rule.commission_per_share_usd
    return Trade(
        signal,
        "filled",
        quantity=quantity,
        fill_at=int(bars.labels[entry.row]),
        fill_price=entry.price,
        exit_at=int(bars.labels[leave.row]),
        exit_price=leave.price,
        exit_reason=leave.reason,
        gross_usd=gross,
        cost_usd=cost,
        net_usd=gross - cost,
        r_multiple=(gross - cost) / (quantity * risk),
    )


def _quantity(equity: float, price: float, risk: float, rule: Execution) -> int:
    affordable = equity * rule.max_position_share / price
    bearable = equity * rule.max_loss_share / risk
    return max(0, math.floor(min(affordable, bearable)))


def enter(bars: Bars, signal: Signal, rule: Execution, step: int) -> Fill | str:
    """The entry fill, or why there is none. Only bars that open and close within the order's life count."""
    first = int(np.searchsorted(bars.labels, signal.valid_from))
    last = int(np.searchsorted(bars.labels, signal.valid_to - step, side="right"))
    sign = 1 if signal.side == "BUY" else -1
    level = signal.entry_price
    for row in range(first, last):
        opened = float(bars.open[row])
        reach = float((bars.high if (rule.entry_order == "stop") == (sign > 0) else bars.low)[row])
        beyond = {"stop": sign, "limit": -sign, "market": 0}[rule.entry_order]
        if beyond == 0 or beyond * (opened - level) >= 0:
            price = opened
        elif beyond * (reach - level) >= 0:
            price = level
        else:
            continue
        if sign * (price - signal.take_profit_price) >= 0:
            return "gapped_past_target"
        at_open = price == opened
        slip = 0.0 if rule.entry_order == "limit" else sign * price * rule.slippage_bps / 1e4
        return Fill(row, price + slip, "entry", at_open)
    return "not_reached"


def exit_from(bars: Bars, signal: Signal, entry: Fill, end: int, rule: Execution, step: int) -> Fill:
    """The exit fill: stop (first, when a bar holds both), target, or the last close before `end`.

    In the entry bar itself the stop counts wherever the bar's low (high) lies, which may have been before the entry:
    pessimistic. The target counts there only for an entry at the open or on the way to it (stop orders).
    """
    sign = 1 if signal.side == "BUY" else -1
    stop, target = signal.stop_price, signal.take_profit_price
    worse, better = (bars.low, bars.high) if sign > 0 else (bars.high, bars.low)
    slip = sign * rule.slippage_bps / 1e4
    last = max(entry.row + 1, int(np.searchsorted(bars.labels, end - step, side="right")))
    for row in range(entry.row, last):
        opened = float(bars.open[row])
        is_entry_bar = row == entry.row
        if sign * (float(worse[row]) - stop) <= 0:
            gapped = not is_entry_bar and sign * (opened - stop) < 0
            price = opened if gapped else stop
            return Fill(row, price * (1 - slip), "stop_loss")
        may_reach = not is_entry_bar or entry.at_open or rule.entry_order == "stop"
        if may_reach and sign * (float(better[row]) - target) >= 0:
            gapped = not is_entry_bar and sign * (opened - target) > 0
            return Fill(row, opened if gapped else target, "take_profit")
    return Fill(last - 1, float(bars.close[last - 1]) * (1 - slip), "time_exit")


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
    filled = [trade for trade in trades if trade.outcome == "filled"]
    net = np.array([trade.net_usd for trade in filled])
    rs = np.array([trade.r_multiple for trade in filled], dtype=np.float64)
    equity = np.r_[rule.initial_equity_usd, [trade.equity_usd for trade in filled]]
    outcomes: dict[str, int] = {}
    for trade in trades:
        outcomes[trade.outcome] = outcomes.get(trade.outcome, 0) + 1
    exits = [trade.exit_reason for trade in filled]
    lost = float(-net[net < 0].sum())
    peak = np.maximum.accumulate(equity)
    return {
        "sessions": session_days,
        "signals": len(trades),
        "outcomes": dict(sorted(outcomes.items())),
        "trades": len(filled),
        "wins": int((net > 0).sum()),
        "win_share": float((net > 0).mean()) if filled else None,
        "exits": {name: exits.count(name) for name in ("stop_loss", "take_profit", "time_exit")},
        "gross_usd": float(sum(trade.gross_usd for trade in filled)),
        "cost_usd": float(sum(trade.cost_usd for trade in filled)),
        "net_usd": float(net.sum()),
        "profit_factor": float(net[net > 0].sum()) / lost if lost > 0 else None,
        "return_share": float(equity[-1] / equity[0] - 1),
        "max_drawdown_share": float(((peak - equity) / peak).max()),
        "mean_r": _interval(rs, "mean", how),
        "median_r": _interval(rs, "median", how),
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
