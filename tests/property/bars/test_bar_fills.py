"""Every combination of orders, exits and costs against a second program: trade by trade, on ten thousand series."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decide.bars.backtest import Execution, simulate_trades
from decide.bars.bars import Bars
from decide.bars.orders import Signal
from tests.bar_fixtures import STEP, make_bars, recorded
from tests.oracles.bar_fills import Desk

BASE = recorded().execution
OPEN = 1_761_658_200
SERIES = 10_000


def any_rule(chance: np.random.Generator) -> Execution:
    return replace(
        BASE,
        entry_order=str(chance.choice(["stop", "limit", "market"])),
        exit_at=str(chance.choice(["window_end", "session_close"])),
        slippage_bps=float(chance.choice([0, 1, 25])),
        spread_bps=float(chance.choice([0, 0, 3, 40])),
        borrow_bps_per_year=float(chance.choice([0, 0, 500])),
        max_volume_share=float(chance.choice([0, 0, 0.1, 0.02])),
        commission_per_share_usd=float(chance.choice([0, 0.005])),
        initial_equity_usd=float(chance.choice([150, 10_000])),
        max_loss_share=float(chance.choice([0.001, 0.03])),
    )


def any_bars(chance: np.random.Generator) -> Bars:
    """A coarse walk with gaps, so that ties, gaps through levels and thin bars are common."""
    count = int(chance.integers(4, 26))
    kept = np.sort(chance.choice(np.arange(count + 3), count, replace=False))
    tick = float(chance.choice([0.01, 0.05]))
    steps = chance.integers(-6, 7, (count, 4))
    closes = 1_000 + np.cumsum(steps[:, 0])
    opens = np.r_[1_000, closes[:-1]] + np.where(chance.random(count) < 0.3, steps[:, 1], 0)
    highs, lows = (
        np.maximum(opens, closes) + np.abs(steps[:, 2]) // 2,
        np.minimum(opens, closes) - np.abs(steps[:, 3]) // 2,
    )
    rows = np.stack([opens, highs, lows, closes], 1) * tick
    bars = make_bars((OPEN + kept * STEP).tolist(), [tuple(row) for row in rows.round(2).tolist()])
    volume = np.where(chance.random(count) < 0.1, 0.0, chance.integers(0, 2_000, count))
    return Bars(bars.labels, bars.open, bars.high, bars.low, bars.close, volume)


def any_signals(chance: np.random.Generator, bars: Bars) -> list[Signal]:
    found, tick = [], 0.01 if bars.open[0] < 30 else 0.05
    for row in sorted(chance.choice(len(bars), int(chance.integers(1, min(7, len(bars)))), replace=False).tolist()):
        legs: list[Any] = [["BUY"], ["SELL"], ["BUY", "SELL"]][int(chance.integers(0, 3))]
        life, hold = int(chance.integers(1, 12)), int(chance.integers(1, 20))
        for side in legs:
            sign = 1 if side == "BUY" else -1
            near = round(float(bars.close[row]) / tick)
            level = near + int(chance.integers(-4, 5))
            risk, factor = int(chance.integers(1, 6)), float(chance.choice([1, 2]))
            start = int(bars.labels[row]) + STEP
            found.append(
                Signal(
                    trigger_at=int(bars.labels[row]),
                    signal_at=start,
                    side=side,
                    entry_price=round(level * tick, 2),
                    stop_price=round((level - sign * risk) * tick, 2),
                    take_profit_price=round((level + sign * risk * factor) * tick, 2),
                    valid_from=start,
                    valid_to=start + life * STEP,
                    exit_by=start + hold * STEP,
                    reason="no_risk" if chance.random() < 0.03 else "",
                )
            )
    return found


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))])
def test_a_second_program_agrees_trade_by_trade(part: int) -> None:
    chance = np.random.default_rng([11, part])
    seen: Counter[str] = Counter()
    for _ in range(SERIES // 4):
        bars, rule = any_bars(chance), any_rule(chance)
        signals = any_signals(chance, bars)
        closes = np.array([OPEN + 14 * STEP, OPEN + 40 * STEP])
        trades = simulate_trades(bars, signals, closes, rule, STEP)
        ordered = [trade.signal for trade in trades]
        told = Desk(bars, closes.tolist(), rule, STEP).trade(ordered)
        for trade, other in zip(trades, told, strict=True):
            seen[trade.outcome] += 1
            assert trade.outcome == other.outcome, (trade, other, rule)
            if other.outcome != "filled":
                continue
            seen[str(trade.exit_reason)] += 1
            assert (trade.quantity, trade.exit_reason) == (other.quantity, other.why), (trade, other, rule)
            assert trade.fill_at == bars.labels[other.fill] and trade.exit_at == bars.labels[other.exit], (trade, other)
            assert trade.fill_price == pytest.approx(float(other.paid), rel=1e-12)
            assert trade.exit_price == pytest.approx(float(other.got), rel=1e-12)
            assert trade.net_usd == pytest.approx(float(other.net), rel=1e-9, abs=1e-7)
    every = {"filled", "not_reached", "gapped_past_target", "position_open", "too_small", "no_volume", "cancelled"}
    assert every | {"no_risk", "stop_loss", "take_profit", "time_exit"} == set(seen), seen
    assert min(seen.values()) > 20, seen
