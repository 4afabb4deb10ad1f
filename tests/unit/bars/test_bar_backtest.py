"""Orders, fills, sizes and gates on bars made by hand: prices that can be checked with a pencil."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from decide.bars.backtest import Execution, Resampling, Trade, metrics, simulate_trades, with_bands
from decide.bars.bars import Bars
from decide.bars.orders import Signal
from decide.bars.run import RunStatus, bars_hash, run_bar_backtest, span_of
from decide.errors import DecisionError
from tests.bar_fixtures import SESSIONS, STEP, as_columns, make_bars, recorded, seconds, walk

OPEN = seconds("2025-10-28T13:30")
HOW = Resampling(0.9, 200, 7)
EXACT = replace(recorded().execution, slippage_bps=0.0, commission_per_share_usd=0.0)
SIGNAL = Signal(
    mother_at=OPEN,
    inside_at=OPEN + STEP,
    trigger_at=OPEN + 2 * STEP,
    signal_at=OPEN + 3 * STEP,
    side="BUY",
    entry_price=100.0,
    stop_price=99.5,
    take_profit_price=101.0,
    mother_high=100.0,
    mother_low=99.5,
    inside_high=99.9,
    inside_low=99.6,
    atr=0.5,
    valid_from=OPEN + 3 * STEP,
    valid_to=OPEN + 8 * STEP,
)
MIRRORED = replace(SIGNAL, side="SELL", stop_price=100.5, take_profit_price=99.0)


def after(*rows: tuple[float, float, float, float]) -> Bars:
    """Three bars up to the trigger, then `rows`, then quiet ones until the window's end."""
    quiet = (100.1, 100.2, 100.0, 100.1)
    bars = [(99.8, 100.0, 99.5, 99.7), (99.7, 99.9, 99.6, 99.8), (99.8, 100.2, 99.7, 100.1), *rows]
    bars += [quiet] * (8 - len(bars))
    return make_bars([OPEN + n * STEP for n in range(len(bars))], bars)


def flip(bars: Bars) -> Bars:
    """The same day upside down, around 100."""
    return Bars(bars.labels, 200 - bars.open, 200 - bars.low, 200 - bars.high, 200 - bars.close, bars.volume)


def trade(bars: Bars, signal: Signal = SIGNAL, **rule: Any) -> Trade:
    made = simulate_trades(bars, [signal], SESSIONS.closes, replace(EXACT, **rule), STEP)
    return made[0]


CASES = [
    # bars after the trigger, order, outcome or exit reason, entry, exit
    ([(100.1, 100.3, 99.9, 100.2), (100.2, 101.2, 100.1, 101.1)], "stop", "take_profit", 100.1, 101.0),
    ([(99.8, 100.3, 99.7, 100.2), (100.2, 101.2, 100.1, 101.1)], "stop", "take_profit", 100.0, 101.0),
    ([(99.8, 101.2, 99.7, 101.1)], "stop", "take_profit", 100.0, 101.0),  # the target lies behind the level
    ([(100.1, 101.2, 99.4, 101.1)], "stop", "stop_loss", 100.1, 99.5),  # both in one bar: the stop was first
    ([(100.1, 100.2, 99.9, 100.0), (99.2, 99.3, 99.0, 99.1)], "stop", "stop_loss", 100.1, 99.2),  # gap through it
    ([(100.1, 100.2, 99.9, 100.0), (101.5, 101.6, 101.4, 101.5)], "stop", "take_profit", 100.1, 101.5),  # gap beyond
    ([(101.2, 101.3, 101.1, 101.2)], "stop", "gapped_past_target", None, None),
    ([(99.8, 99.9, 99.7, 99.8)] * 5, "stop", "not_reached", None, None),
    ([(100.3, 100.4, 100.1, 100.2)] * 5, "limit", "not_reached", None, None),
    ([(100.3, 101.2, 99.9, 100.2), (100.2, 101.1, 100.1, 101.0)], "limit", "take_profit", 100.0, 101.0),
    ([(99.9, 101.2, 99.8, 100.2)], "limit", "take_profit", 99.9, 101.0),
    ([(100.3, 101.2, 100.2, 101.1)], "market", "take_profit", 100.3, 101.0),
    ([(100.1, 100.2, 99.9, 100.1)], "stop", "time_exit", 100.1, 100.1),
]


@pytest.mark.parametrize(("rows", "order", "ending", "entry", "leave"), CASES)
def test_fills(rows: Any, order: str, ending: str, entry: float | None, leave: float | None) -> None:
    bars = after(*rows)
    for made in (trade(bars, entry_order=order), trade(flip(bars), MIRRORED, entry_order=order)):
        sign = 1 if made.signal.side == "BUY" else -1
        if entry is None or leave is None:
            assert (made.outcome, made.fill_price) == (ending, None)
            continue
        assert made.exit_reason == ending
        assert made.fill_price == pytest.approx(100 + sign * (entry - 100))
        assert made.exit_price == pytest.approx(100 + sign * (leave - 100))
        assert made.net_usd == pytest.approx((leave - entry) * made.quantity)
        assert made.r_multiple == pytest.approx((leave - entry) / 0.5)


def test_nothing_fills_in_the_trigger_bar_or_after_the_orders_life() -> None:
    """Of the recorded fills one stands in its own signal bar; here an order knows nothing of the bar it came from."""
    bars = after((99.8, 99.9, 99.7, 99.8))
    for valid_from in range(3, 8):
        made = trade(bars, replace(SIGNAL, valid_from=OPEN + valid_from * STEP))
        assert made.fill_at is None or made.fill_at >= OPEN + valid_from * STEP
    assert trade(bars, replace(SIGNAL, valid_to=OPEN + 4 * STEP)).outcome == "not_reached"


def test_slippage_and_commission_are_paid_on_every_side() -> None:
    rows = [(100.1, 100.3, 99.9, 100.2), (99.2, 99.3, 99.0, 99.1)]
    made = trade(after(*rows), slippage_bps=10.0, commission_per_share_usd=0.01)
    assert made.fill_price == pytest.approx(100.1 * 1.001)
    assert made.exit_price == pytest.approx(99.2 * 0.999)
    assert made.cost_usd == pytest.approx(0.02 * made.quantity)
    assert made.net_usd == pytest.approx(made.gross_usd - made.cost_usd)
    limit = trade(
        after((100.3, 100.4, 99.9, 100.2), (100.2, 101.2, 100.1, 101.1)), entry_order="limit", slippage_bps=10.0
    )
    assert (limit.fill_price, limit.exit_price) == (100.0, 101.0)  # limit orders do not slip


def test_the_size_is_what_both_limits_allow() -> None:
    bars = after((100.1, 100.3, 99.9, 100.2))
    assert trade(bars).quantity == 99  # 10,000 USD buy 99 at 100.1; 3 % of it could lose on 600
    assert trade(bars, max_loss_share=0.001).quantity == 20  # 10 USD over 0.50
    assert trade(bars, initial_equity_usd=50.0).outcome == "too_small"


def test_one_position_at_a_time_and_equity_adds_up() -> None:
    bars = after((100.1, 100.3, 99.9, 100.2))
    again = replace(SIGNAL, signal_at=SIGNAL.signal_at + STEP, valid_from=SIGNAL.valid_from + STEP)
    first, second = simulate_trades(bars, [again, SIGNAL], SESSIONS.closes, EXACT, STEP)
    assert (first.signal, second.outcome) == (SIGNAL, "position_open")
    assert second.equity_usd == first.equity_usd == pytest.approx(EXACT.initial_equity_usd + first.net_usd)


def test_a_position_can_be_held_to_the_sessions_close() -> None:
    bars = after((100.1, 100.2, 99.9, 100.1), *[(100.1, 100.2, 100.0, 100.1)] * 10, (100.1, 100.4, 100.0, 100.3))
    assert trade(bars).exit_at == OPEN + 7 * STEP
    assert trade(bars, exit_at="session_close").exit_at == int(bars.labels[-1])


def test_metrics_by_hand() -> None:
    wins = [
        Trade(SIGNAL, "filled", net_usd=n, gross_usd=n, r_multiple=n / 50, exit_reason="time_exit")
        for n in (100.0, -50.0, 100.0)
    ]
    equities = (10_100.0, 10_050.0, 10_150.0)
    rows = [replace(made, equity_usd=e) for made, e in zip(wins, equities, strict=True)] + [
        Trade(SIGNAL, "not_reached")
    ]
    found = metrics(rows, 5, EXACT, HOW)
    assert (found["signals"], found["trades"], found["wins"]) == (4, 3, 2)
    assert found["outcomes"] == {"filled": 3, "not_reached": 1}
    assert found["profit_factor"] == pytest.approx(4.0)
    assert found["net_usd"] == pytest.approx(150.0)
    assert found["max_drawdown_share"] == pytest.approx(50 / 10_100)
    assert found["mean_r"]["estimate"] == pytest.approx(1.0)
    assert found["mean_r"]["low"] is None and "trades" in found["mean_r"]["reason"]
    none = metrics([], 5, EXACT, HOW)
    assert (none["trades"], none["win_share"], none["mean_r"]["reason"]) == (0, None, "no trades")


def test_equity_has_a_band_that_compounds_what_each_trade_made_of_the_equity_before_it() -> None:
    equity, rows = EXACT.initial_equity_usd, []
    for n in range(6):
        equity *= 1.01
        rows.append(Trade(SIGNAL, "filled", fill_at=OPEN + n * STEP, equity_usd=equity))
    unfilled = Trade(SIGNAL, "not_reached", equity_usd=equity)
    told = with_bands([*reversed(rows), unfilled], EXACT, HOW)
    for row in told[:-1]:  # whatever draw: one per cent a trade, so the band has no width, and the order is of fills
        assert row.equity_low_usd == pytest.approx(row.equity_usd) == pytest.approx(row.equity_high_usd)
    assert told[-1] == unfilled
    assert with_bands(rows[:3], EXACT, HOW) == rows[:3]  # too few to say anything
    wild = [replace(row, equity_usd=EXACT.initial_equity_usd + 100 * (n % 2)) for n, row in enumerate(rows)]
    edges = [(row.equity_low_usd, row.equity_high_usd) for row in with_bands(wild, EXACT, HOW)]
    assert all(low is not None and high is not None and low < high for low, high in edges)


@pytest.mark.parametrize("wrong", [{"entry_order": "hope"}, {"exit_at": "never"}, {"max_loss_share": 0}])
def test_an_execution_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DecisionError, match=next(iter(wrong))):
        Execution.of({**vars(EXACT), **wrong})


SPAN = span_of(date(2025, 11, 26), date(2025, 12, 1), "America/New_York")
LABELS = SESSIONS.between(STEP, SESSIONS.known_from, SESSIONS.known_until).tolist()
MIDDAY = seconds("2025-11-26T16:00")


def run(columns: dict[str, Any], **changes: Any) -> Any:
    return run_bar_backtest(columns, SESSIONS, recorded(**changes), SPAN, HOW)


def test_a_run_on_whole_data_is_a_success_and_repeats_itself() -> None:
    columns = as_columns(walk(LABELS, 5))
    one, two = run(columns), run(columns)
    assert one == two
    assert (one.status, one.reason, one.coverage["missing"], one.coverage["sessions"]) == (RunStatus.SUCCESS, "", 0, 3)
    assert one.coverage["expected"] == 78 + 42 + 78  # the day after Thanksgiving closes at 13:00
    assert one.signals and all(SPAN[0] <= s.mother_at < SPAN[1] for s in one.signals)
    assert [t.signal for t in one.trades] == sorted(one.signals, key=lambda s: s.signal_at)


def test_rows_outside_the_grid_and_their_order_change_nothing() -> None:
    columns = as_columns(walk(LABELS, 5))
    stray = {name: np.r_[values, values[:3]] for name, values in columns.items()}
    stray["label"] = np.r_[columns["label"], [seconds("2025-11-26T14:00"), MIDDAY + 7, seconds("2025-11-28T18:00")]]
    order = np.random.default_rng(0).permutation(len(stray["label"]))
    mixed = run({name: values[order] for name, values in stray.items()})
    assert mixed.coverage["rows_outside_grid"] == 3
    assert (mixed.signals, mixed.metrics) == (run(columns).signals, run(columns).metrics)


def test_gates_refuse_with_the_reason_and_the_gaps() -> None:
    columns = as_columns(walk(LABELS, 5))

    def without(keep: Any) -> dict[str, Any]:
        return {name: values[keep] for name, values in columns.items()}

    hole = (columns["label"] < MIDDAY) | (columns["label"] >= MIDDAY + 10 * STEP)
    gap = run(without(hole))
    assert (gap.status, gap.reason) == (RunStatus.FAILED_PRECONDITION, "DATA_COVERAGE_GAP")
    assert gap.coverage["gaps"] == [{"first": MIDDAY, "last": MIDDAY + 9 * STEP, "count": 10}]
    assert not gap.signals and not gap.metrics
    lookback = run(without(columns["label"] != seconds("2025-10-28T19:55")))
    assert (lookback.reason, lookback.coverage["missing"]) == ("DATA_SLA_FAILED", 0)
    assert "lookback_complete" in lookback.details
    twice = run({name: np.r_[values, values[-1:]] for name, values in columns.items()})
    assert "no_dupe_index" in twice.details
    nan = run({**columns, "close": np.where(columns["label"] == MIDDAY, np.nan, columns["close"])})
    assert "no_nan_ohlc" in nan.details
    wrong = run({**columns, "high": np.where(columns["label"] == MIDDAY, 1.0, columns["high"])})
    assert "ohlc_in_order" in wrong.details
    empty = run(without(slice(0, 0)))
    assert (empty.reason, empty.coverage["share"]) == ("DATA_COVERAGE_GAP", 0)
    far = run_bar_backtest(columns, SESSIONS, recorded(), span_of(date(2030, 1, 1), date(2030, 1, 2), "UTC"), HOW)
    assert far.reason == "CALENDAR_OUT_OF_RANGE"
    assert run(columns, atr_period=500).reason == "CALENDAR_OUT_OF_RANGE"


def test_a_signal_on_holes_has_its_reason_and_no_order() -> None:
    """One missing bar of the session before a signal: live there would have been NO-SIGNALS, so no order here."""
    columns = as_columns(walk(LABELS, 1))
    whole = run(columns)
    last = max(s.trigger_at for s in whole.signals)
    opened = int(SESSIONS.opens[np.searchsorted(SESSIONS.opens, last, side="right") - 1])
    victim = next(s for s in whole.signals if s.trigger_at > opened and s.mother_at > opened + STEP)
    keep = columns["label"] != opened
    holed = run({name: values[keep] for name, values in columns.items()})
    found = {s.trigger_at: s.reason for s in holed.signals}
    assert found[victim.trigger_at] == "history_gap"
    assert {t.outcome for t in holed.trades if t.signal.trigger_at > opened} == {"history_gap"}
    assert "history_gap" not in {s.reason for s in holed.signals if s.trigger_at < opened - 5 * 86_400}
    tolerant = run({name: values[keep] for name, values in columns.items()}, max_no_trade_slots=1)
    assert "history_gap" not in {s.reason for s in tolerant.signals}


def test_the_hash_of_an_input_sees_every_value() -> None:
    columns = as_columns(walk(LABELS[:50], 5))
    known = {bars_hash(columns)}
    for name in columns:
        changed = np.array(columns[name])
        changed[7] += 1
        known.add(bars_hash({**columns, name: changed}))
    assert len(known) == 1 + len(columns)
