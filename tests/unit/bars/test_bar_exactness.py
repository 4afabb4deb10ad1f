"""Prices as whole numbers, splits, and fills nobody can doubt: each fault that was found, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from decide.bars.actions import JumpRule, Split, as_of
from decide.bars.backtest import Resampling, Trade, simulate_trades
from decide.bars.bars import Bars
from decide.bars.inside_bar import find_signals
from decide.bars.promotable import daily_returns, deflated_sharpe, sharpe
from decide.bars.rules import trade_windows
from decide.bars.run import Actions, run_bar_backtest, span_of
from decide.bars.ticks import Ticks, at_least, micros, ratio, scaled
from tests.bar_fixtures import SESSIONS, STEP, as_columns, make_bars, recorded, rules, seconds, walk
from tests.unit.bars.test_bar_backtest import EXACT, MIRRORED, OPEN, SIGNAL, after

HOW = Resampling(0.9, 100, 1)
LABELS = SESSIONS.between(STEP, SESSIONS.known_from, SESSIONS.known_until).tolist()
SPAN = span_of(date(2025, 11, 26), date(2025, 12, 1), "America/New_York")


def trade(bars: Bars, signal: Any = SIGNAL, **rule: Any) -> Trade:
    return simulate_trades(bars, [signal], SESSIONS.closes, replace(EXACT, **rule), STEP)[0]


def test_a_tie_is_a_tie() -> None:
    assert at_least(micros([0.16]), micros([0.32]), ratio(0.5))[0]
    assert at_least(micros([0.3]), micros([0.1]), ratio(3.0))[0] and 0.3 < 3 * 0.1
    huge = np.array([10**15])
    assert at_least(huge, huge, Fraction(10**6, 10**6), 10**6)[0]  # past 64 bits: Python's own integers
    assert Bars.of(
        {n: [1] if n == "label" else [12.340000000000001] for n in ("label", "open", "high", "low", "close", "volume")}
    ).exact[0].tolist() == [12_340_000]


def test_a_target_off_the_cent_by_rounding_is_reached_by_the_cent() -> None:
    level, target = 253.18, 254.14
    assert level + 0.48 * 2 != target  # floats: 254.14000000000001
    ticks = Ticks.of(0.01, 0.0001)
    entry = ticks.nearest(micros([level]))
    reached = entry + scaled(micros([0.48]), ratio(2), ticks.at(entry))
    assert reached.tolist() == [254_140_000]


def test_the_tick_belongs_to_the_price() -> None:
    ticks = Ticks.of(0.01, 0.0001)
    assert ticks.nearest(micros([0.50004, 0.50006, 1.004, 1.006])).tolist() == [500_000, 500_100, 1_000_000, 1_010_000]
    calm, pair = (0.5, 0.505, 0.495, 0.5), [(0.5, 0.51, 0.49, 0.505), (0.502, 0.508, 0.494, 0.5)]
    evening = [int(SESSIONS.closes[0]) - (10 - n) * STEP for n in range(10)]
    labels = [*evening, *(OPEN + n * STEP for n in range(3))]
    bars = make_bars(labels, [*[calm] * 10, *pair, (0.5, 0.5203, 0.499, 0.5202)])
    made = rules(risk_reward_ratio=1.5)
    (signal,) = find_signals(bars, made, trade_windows(SESSIONS, made)).signals
    assert (signal.entry_price, signal.stop_price, signal.take_profit_price) == (0.51, 0.506, 0.516)  # 40 x 0.0001


def test_a_target_at_or_below_nothing_is_no_order() -> None:
    evening = [int(SESSIONS.closes[0]) - (10 - n) * STEP for n in range(10)]
    labels = [*evening, *(OPEN + n * STEP for n in range(3))]
    rows = [*[(1.5, 1.55, 1.45, 1.5)] * 10, (1.5, 2.5, 1.0, 1.5), (1.5, 1.6, 1.2, 1.4), (1.4, 1.4, 0.9, 0.95)]
    made = rules(stop_distance_cap_ticks=0)
    (signal,) = find_signals(make_bars(labels, rows), made, trade_windows(SESSIONS, made)).signals
    assert (signal.side, signal.reason) == ("SELL", "target_not_positive")
    assert trade(make_bars(labels, rows), signal).outcome == "target_not_positive"


@pytest.mark.parametrize("order", ["limit", "market"])
def test_an_initial_stop_never_earns(order: str) -> None:
    """An open at 95 under a stop of 98: it leaves at once, at its fill."""
    signal = replace(SIGNAL, entry_price=100.0, stop_price=98.0, take_profit_price=104.0)
    made = trade(after((95.0, 99.0, 94.0, 98.5)), signal, entry_order=order)
    assert (made.fill_price, made.exit_price, made.exit_reason) == (95.0, 95.0, "stop_loss")
    assert made.fill_at == made.exit_at and made.gross_usd == 0
    upside_down = replace(MIRRORED, entry_price=100.0, stop_price=102.0, take_profit_price=96.0)
    made = trade(after((105.0, 106.0, 101.0, 101.5)), upside_down, entry_order=order)
    assert (made.fill_price, made.exit_price) == (105.0, 105.0)


def test_an_orders_life_is_not_the_positions() -> None:
    bars = after((100.1, 100.3, 99.9, 100.2), (100.2, 100.4, 100.1, 100.3), (100.3, 100.5, 100.2, 100.4))
    signal = replace(SIGNAL, valid_to=OPEN + 4 * STEP, exit_by=OPEN + 8 * STEP)  # one bar to fill, the window to hold
    made = trade(bars, signal)
    assert (made.fill_at, made.exit_at, made.exit_reason) == (OPEN + 3 * STEP, OPEN + 7 * STEP, "time_exit")
    made_rules = rules(order_validity_policy="one_bar")
    found = find_signals(walk(LABELS, 5), made_rules, trade_windows(SESSIONS, made_rules)).signals
    assert found and all(s.valid_to <= s.valid_from + STEP and s.exit_by > s.valid_to for s in found if not s.reason)


def test_of_several_waiting_orders_the_first_that_fills_is_the_position() -> None:
    """The older one is reached later: it does not refuse the younger one, which is the position by then."""
    older = replace(SIGNAL, entry_price=99.0, stop_price=98.5, take_profit_price=100.0, entry_order="limit")
    younger = replace(
        SIGNAL, trigger_at=OPEN + 3 * STEP, signal_at=OPEN + 4 * STEP, valid_from=OPEN + 4 * STEP, entry_order="market"
    )
    bars = after((100.0, 100.1, 99.8, 100.0), (100.0, 100.2, 99.9, 100.1), (100.1, 100.2, 98.9, 100.0))
    first, second = simulate_trades(bars, [older, younger], SESSIONS.closes, EXACT, STEP)
    assert (first.outcome, second.outcome) == ("position_open", "filled")
    assert second.fill_at == OPEN + 4 * STEP


def test_legs_of_one_close_cancel_each_other() -> None:
    sell = replace(MIRRORED, entry_price=99.5, stop_price=100.0, take_profit_price=98.5)
    bars = after((99.8, 99.9, 99.4, 99.6))
    by_side = {t.signal.side: t for t in simulate_trades(bars, [SIGNAL, sell], SESSIONS.closes, EXACT, STEP)}
    assert (by_side["SELL"].outcome, by_side["BUY"].outcome) == ("filled", "cancelled")


def test_spread_borrow_and_volume_are_off_unless_named() -> None:
    rows = [(100.1, 100.3, 99.9, 100.2), (100.2, 101.2, 100.1, 101.1)]
    free = trade(after(*rows))
    assert trade(after(*rows), spread_bps=20.0).fill_price == pytest.approx(100.1 + 0.1001)
    assert trade(after(*rows), max_volume_share=0.1).quantity == 10 < free.quantity
    assert trade(after(*rows), max_volume_share=0.001).outcome == "no_volume"
    short = [(99.9, 100.1, 99.7, 99.8), (99.8, 99.9, 98.8, 98.9)]
    dear = trade(after(*short), MIRRORED, borrow_bps_per_year=1e4)
    assert dear.cost_usd == pytest.approx(dear.quantity * (dear.fill_price or 0) * 600 / (365 * 86_400))


def columns(factor: float) -> dict[str, Any]:
    """Bars whose prices before the last session are `factor` times as high."""
    made = as_columns(walk(LABELS, 5))
    before = made["label"] < seconds("2025-12-01T14:30")
    return {n: np.where(before, v * factor, v) if n in ("open", "high", "low", "close") else v for n, v in made.items()}


def signals_of(result: Any) -> list[Any]:
    return [(s.trigger_at, s.side, s.entry_price, s.reason) for s in result.signals]


def test_a_split_between_warm_up_and_session_is_adjusted_or_refused_by_name() -> None:
    strategy, rule = recorded(session_filter="09:30-16:00", first_inside_bar_only="false"), JumpRule(1.45, 0.06)
    plain = run_bar_backtest(columns(1), SESSIONS, strategy, SPAN, HOW, Actions((), rule))
    last = [s for s in signals_of(plain) if s[0] >= seconds("2025-12-01T14:30")]
    assert last and not plain.coverage["unadjusted_splits"]
    split = Split(seconds("2025-12-01T14:30"), Fraction(1), Fraction(4))
    told = run_bar_backtest(columns(4), SESSIONS, strategy, SPAN, HOW, Actions((split,), rule))
    assert [s for s in signals_of(told) if s[0] >= split.ex_at] == last and told.coverage["splits_applied"] == 1
    untold = run_bar_backtest(columns(4), SESSIONS, strategy, SPAN, HOW, Actions((), rule))
    assert {s[3] for s in signals_of(untold) if s[0] >= split.ex_at} == {"unadjusted_split"}
    assert not {s[3] for s in signals_of(untold) if s[0] < split.ex_at} & {"unadjusted_split"}
    none = Split(split.ex_at, Fraction(1), Fraction(1))  # told that there was none: the jump stands as it is
    real = run_bar_backtest(columns(4), SESSIONS, strategy, SPAN, HOW, Actions((none,), rule))
    assert not real.coverage["unadjusted_splits"]
    adjusted = run_bar_backtest(columns(1), SESSIONS, strategy, SPAN, HOW, Actions((split,), rule))
    assert signals_of(adjusted) == signals_of(plain)  # the bars are adjusted already: it is not applied twice


def test_only_splits_known_at_a_moment_are_seen_then() -> None:
    bars, split = walk(LABELS, 5), Split(seconds("2025-12-01T14:30"), Fraction(1), Fraction(2))
    assert as_of(bars, [split], split.ex_at - 1) is bars
    seen = as_of(bars, [split], split.ex_at)
    before = bars.labels < split.ex_at
    assert (seen.close[before] == np.round(bars.close[before] / 2, 6)).all() and (
        seen.close[~before] == bars.close[~before]
    ).all()


def test_sharpe_counts_sessions_without_a_trade_and_tries_deflate_it() -> None:
    closes = np.array([10, 20, 30, 40])
    assert daily_returns(np.array([5, 15, 16]), np.array([10.0, 5.0, 5.0]), closes, 100.0) == pytest.approx(
        [0.1, 10 / 110, 0, 0]
    )
    assert sharpe(np.zeros(5)) == 0
    chance = np.random.default_rng(3)
    tries = chance.normal(0, 0.01, (200, 250))
    ratios = np.array([sharpe(row) for row in tries])
    best = tries[int(np.argmax(ratios))]
    alone, among = deflated_sharpe(best, ratios[:1]), deflated_sharpe(best, ratios)
    assert alone > 0.95 > among  # the best of 200 without an edge looks good only when the tries are not counted
