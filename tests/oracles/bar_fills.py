"""Fills once more, order by order and bar by bar in exact fractions, written from the description of the rules.

docs/method-inside-bar.md is that description. Nothing here is shared with the product but its input types.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from decide.bars.backtest import Execution
from decide.bars.bars import Bars
from decide.bars.orders import Signal


@dataclass
class Told:
    """What became of a signal: outcome, and for a filled one everything that was paid."""

    outcome: str
    quantity: int = 0
    fill: int = -1
    paid: Fraction = Fraction(0)
    exit: int = -1
    got: Fraction = Fraction(0)
    why: str = ""
    net: Fraction = Fraction(0)


class Desk:
    """One account on one series."""

    def __init__(self, bars: Bars, closes: Sequence[int], rule: Execution, step: int) -> None:
        names = ("open", "high", "low", "close")
        self.bars = [
            {"t": t, "v": v, **{n: _exact(p) for n, p in zip(names, prices, strict=True)}}
            for t, v, *prices in zip(
                bars.labels.tolist(), bars.volume.tolist(), *(getattr(bars, n).tolist() for n in names), strict=True
            )
        ]
        self.closes, self.rule, self.step = list(closes), rule, step
        self.slip = _exact(rule.slippage_bps) / 10_000

    def trade(self, signals: Sequence[Signal]) -> list[Told]:
        """What became of each of `signals`, in their order."""
        told = [Told(signal.reason or "not_reached") for signal in signals]
        open_orders = [n for n, signal in enumerate(signals) if not signal.reason]
        equity, busy_until = _exact(self.rule.initial_equity_usd), -1
        for row in range(len(self.bars)):
            reached = [(n, hit) for n in open_orders if (hit := self.reach(signals[n], row)) is not None]
            reached.sort(key=lambda pair: (not pair[1][1], signals[pair[0]].signal_at, pair[0]))
            while reached:
                n, hit = self.first_of(signals, reached, row)
                twins = [m for m in open_orders if signals[m].signal_at == signals[n].signal_at]
                reached = [pair for pair in reached if pair[0] not in twins]
                open_orders = [m for m in open_orders if m not in twins]
                for m in twins:
                    told[m] = Told("cancelled")
                told[n] = self.take(signals[n], hit, row, equity, is_busy=row <= busy_until)
                if told[n].outcome == "filled":
                    equity += told[n].net
                    busy_until = told[n].exit
        return told

    def first_of(self, signals: Sequence[Signal], reached: Any, row: int) -> Any:
        """The first in the queue; of legs of one close within one bar, the one that comes off worse."""
        n, hit = reached[0]
        legs = [pair for pair in reached if signals[pair[0]].signal_at == signals[n].signal_at]
        legs = [pair for pair in legs if pair[1][1] == hit[1]]
        return min(legs, key=lambda pair: (self.worth(signals[pair[0]], pair[1], row), signals[pair[0]].side != "BUY"))

    def worth(self, signal: Signal, hit: Any, row: int) -> Fraction:
        sign = 1 if signal.side == "BUY" else -1
        if sign * (hit[0] - _exact(signal.take_profit_price)) >= 0:
            return Fraction(0)
        _, price, _ = self.way_out(signal, hit, row)
        return sign * (price - hit[0])

    def reach(self, signal: Signal, row: int) -> tuple[Fraction, bool] | None:
        """Price at which the order fills in this bar and whether at its open, or None."""
        bar = self.bars[row]
        if bar["t"] < signal.valid_from or bar["t"] + self.step > signal.valid_to:
            return None
        level, kind = _exact(signal.entry_price), signal.entry_order or self.rule.entry_order
        buys = signal.side == "BUY"
        if kind == "market":
            return bar["open"], True
        if kind == "stop":
            if bar["open"] >= level if buys else bar["open"] <= level:
                return bar["open"], True
            return (level, False) if (bar["high"] >= level if buys else bar["low"] <= level) else None
        half = self.half(level)
        if bar["open"] + half <= level if buys else bar["open"] - half >= level:
            return bar["open"], True
        return (level, False) if (bar["low"] + half <= level if buys else bar["high"] - half >= level) else None

    def half(self, price: Fraction) -> Fraction:
        """Half of the spread, to the nearest millionth."""
        return Fraction(math.floor(price * _exact(self.rule.spread_bps) * 50 + Fraction(1, 2)), 1_000_000)

    def take(self, signal: Signal, hit: tuple[Fraction, bool], row: int, equity: Fraction, is_busy: bool) -> Told:
        price, at_open = hit
        buys, target = signal.side == "BUY", _exact(signal.take_profit_price)
        if price >= target if buys else price <= target:
            return Told("gapped_past_target")
        if is_busy:
            return Told("position_open")
        sign, kind = (1 if buys else -1), signal.entry_order or self.rule.entry_order
        paid = price + sign * self.half(price) if kind != "limit" or at_open else price
        if kind != "limit":
            paid *= 1 + sign * self.slip
        risk = abs(_exact(signal.entry_price) - _exact(signal.stop_price))
        size = math.floor(
            min(
                equity * _exact(self.rule.max_position_share) / paid,
                equity * _exact(self.rule.max_loss_share) / risk,
            )
        )
        if size < 1:
            return Told("too_small")
        size = self.allowed(row, size)
        if size < 1:
            return Told("no_volume")
        out, exit_price, why = self.way_out(signal, hit, row)
        got, last = self.sell(signal, out, exit_price, why, size)
        gross = sign * (got - paid) * size
        cost = 2 * size * _exact(self.rule.commission_per_share_usd)
        if not buys:
            held = self.bars[last]["t"] + self.step - self.bars[row]["t"]
            cost += paid * size * _exact(self.rule.borrow_bps_per_year) / 10_000 * held / (365 * 86_400)
        return Told("filled", size, row, paid, last, got, why, gross - cost)

    def end(self, signal: Signal, row: int) -> int:
        """The last bar of a position that was opened in `row`."""
        until = signal.exit_by or signal.valid_to
        if self.rule.exit_at == "session_close":
            until = next((close for close in self.closes if close > signal.signal_at), until)
        rows = [n for n, bar in enumerate(self.bars) if n >= row and bar["t"] + self.step <= until]
        return max(rows, default=row)

    def way_out(self, signal: Signal, hit: tuple[Fraction, bool], row: int) -> tuple[int, Fraction, str]:
        """Bar, price before costs and reason of the exit."""
        buys, kind = signal.side == "BUY", signal.entry_order or self.rule.entry_order
        stop, target = _exact(signal.stop_price), _exact(signal.take_profit_price)
        price, at_open = hit
        if price <= stop if buys else price >= stop:
            return row, price, "stop_loss"
        last = self.end(signal, row)
        half = self.half(target)
        for n in range(row, last + 1):
            bar = self.bars[n]
            if bar["low"] <= stop if buys else bar["high"] >= stop:
                opened = stop if n == row else bar["open"]
                return n, (min(opened, stop) if buys else max(opened, stop)), "stop_loss"
            if n == row and not at_open and kind != "stop":
                continue
            if bar["high"] - half >= target if buys else bar["low"] + half <= target:
                opened = target if n == row else bar["open"]
                beyond = opened - half >= target if buys else opened + half <= target
                return n, (opened if beyond else target), "take_profit"
        return last, self.bars[last]["close"], "time_exit"

    def sell(self, signal: Signal, row: int, price: Fraction, why: str, size: int) -> tuple[Fraction, int]:
        """Mean price of leaving with all of `size`, and the last bar of it."""
        entered = row
        rest, value, last = size, Fraction(0), self.end(signal, entered)
        while rest:
            part = rest if why == "time_exit" else self.allowed(row, rest)
            value += part * self.net_price(signal, price, why)
            rest -= part
            if rest and row >= last:
                value += rest * self.net_price(signal, self.bars[row]["close"], "time_exit")
                rest = 0
            elif rest:
                row += 1
                price, why = self.bars[row]["open"], "stop_loss"
        return value / size, row

    def net_price(self, signal: Signal, price: Fraction, why: str) -> Fraction:
        sign, target = (1 if signal.side == "BUY" else -1), _exact(signal.take_profit_price)
        if why == "take_profit":
            return price if price == target else price - sign * self.half(price)
        return (price - sign * self.half(price)) * (1 - sign * self.slip)

    def allowed(self, row: int, size: int) -> int:
        if not self.rule.max_volume_share:
            return size
        volume = self.bars[row]["v"]
        return min(size, math.floor(_exact(volume) * _exact(self.rule.max_volume_share))) if volume > 0 else 0


def _exact(value: Any) -> Fraction:
    return Fraction(Decimal(repr(float(value))))
