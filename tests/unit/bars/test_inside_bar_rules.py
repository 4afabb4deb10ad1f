"""The rules one at a time, on bars made by hand; seeds and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decide.bars.history import required_bars
from decide.bars.inside_bar import find_signals
from decide.bars.rules import Rules, local_windows, trade_windows
from decide.bars.run import bar_strategies
from decide.bars.tables import SCHEMA, bar_run_tables, rules_hash
from decide.errors import DecisionError
from decide.once import sealed_schema
from tests.bar_fixtures import SESSIONS, STEP, make_bars, recorded, rules, seconds, seed_rows

SUMMER, WINTER, HALF = (seconds(t) for t in ("2025-10-28T13:30", "2025-12-01T14:30", "2025-11-28T14:30"))
CALM = (100.0, 100.5, 99.5, 100.0)
PAIR = [(100.0, 101.0, 99.0, 100.5), (100.2, 100.8, 99.4, 100.0)]  # mother 99 to 101, inside 99.4 to 100.8
UP, DOWN, FLAT = (100.0, 101.6, 99.9, 101.4), (100.0, 100.1, 98.5, 98.7), (100.0, 100.6, 99.6, 100.1)


def look(
    after: list[Any], start: int = SUMMER, pair: list[Any] = PAIR, skip: tuple[int, ...] = (), **changes: Any
) -> Any:
    """Findings on ten calm bars of the evening before, the pair at `start`, and what comes after."""
    made = rules(**changes)
    today = int(np.searchsorted(SESSIONS.opens, start, side="right")) - 1
    evening = int(SESSIONS.closes[today - 1]) - 10 * STEP
    labels = [evening + n * STEP for n in range(10)] + [start + n * STEP for n in range(len(pair) + len(after))]
    rows = [CALM] * 10 + [*pair, *after]
    kept = [n for n in range(len(labels)) if n - 10 not in skip]
    bars = make_bars([labels[n] for n in kept], [rows[n] for n in kept])
    return find_signals(bars, made, trade_windows(SESSIONS, made))


def reasons(found: Any) -> list[str]:
    return [rejection.reason for rejection in found.rejections]


def test_a_breakout_by_its_numbers() -> None:
    (signal,) = look([FLAT, UP]).signals
    assert (signal.mother_at, signal.inside_at, signal.trigger_at) == (SUMMER, SUMMER + STEP, SUMMER + 3 * STEP)
    assert (signal.side, signal.entry_price, signal.signal_at) == ("BUY", 101.0, SUMMER + 4 * STEP)
    assert (signal.stop_price, signal.take_profit_price) == (pytest.approx(100.6), pytest.approx(101.8))  # 40 ticks
    assert (signal.valid_from, signal.valid_to) == (SUMMER + 4 * STEP, SUMMER + 90 * 60)
    assert signal.atr == pytest.approx((7 * 1.0 + 2.0) / 8)
    (short,) = look([DOWN], stop_distance_cap_ticks=0).signals
    assert (short.side, short.entry_price, short.stop_price, short.take_profit_price) == ("SELL", 99.0, 101.0, 95.0)


def test_levels_of_the_inside_bar_and_other_lives_of_an_order() -> None:
    (signal,) = look([UP], entry_level_mode="inside_bar", stop_distance_cap_ticks=0).signals
    assert (signal.entry_price, signal.stop_price) == (100.8, 99.4)
    assert look([UP], order_validity_policy="one_bar").signals[0].valid_to == SUMMER + 4 * STEP
    fixed = look([UP], order_validity_policy="fixed_minutes", order_validity_minutes=30).signals[0]
    assert fixed.valid_to == fixed.valid_from + 1800


def test_a_touch_is_no_close_beyond() -> None:
    touch = (100.0, 101.6, 99.9, 101.0)  # closes on the level
    assert look([touch]).signals == ()
    assert look([touch], require_close_beyond_mother="false").signals[0].side == "BUY"
    both = (100.0, 101.6, 98.5, 100.0)
    found = look([both, UP], require_close_beyond_mother="false")
    assert "both_sides_broken" in reasons(found) and found.signals == ()


def test_age_expiry_and_the_next_pattern() -> None:
    found = look([FLAT] * 2 + [UP], max_pattern_age_candles=2)
    assert found.signals == () and "pattern_expired" in reasons(found)
    assert len(look([FLAT] * 2 + [UP], max_pattern_age_candles=3).signals) == 1
    again = look([FLAT] * 2 + [*PAIR, UP], max_pattern_age_candles=2)
    assert [s.inside_at for s in again.signals] == [SUMMER + 5 * STEP]


def test_one_signal_a_window_and_an_armed_pattern_stays() -> None:
    twice = [UP, *PAIR, UP]
    assert len(look(twice).signals) == 1
    assert len(look(twice, first_inside_bar_only="false").signals) == 2
    nested = [(100.1, 100.7, 99.5, 100.0), UP]  # inside the inside bar: passed over
    assert look(nested).signals[0].inside_at == SUMMER + STEP


def test_what_is_not_armed_says_why() -> None:
    assert reasons(look([UP], min_mother_bar_size_atr_multiple=5)) == ["mother_bar_too_small"]
    assert reasons(look([UP], min_mother_body_fraction=0.9)) == ["mother_body_too_small"]
    assert reasons(look([UP], min_inside_body_fraction=0.9)) == ["inside_body_too_small"]
    assert "level_too_far" in reasons(look([UP], max_deviation_atr=0.1))
    assert "atr_unknown" in reasons(look([UP], atr_period=19))


def test_pairs_do_not_reach_over_holes_windows_or_days() -> None:
    assert look([FLAT, UP], skip=(1,)).signals == ()  # the inside bar is missing
    late = look([UP], start=SUMMER + 90 * 60 - STEP)  # mother in the window, inside bar after it
    assert late.signals == ()
    first = look([FLAT, UP], pair=[(100.0, 100.3, 99.8, 100.1)])  # inside the bar of the evening before
    assert "mother_bar_outside_session" not in reasons(first) and first.signals == ()
    across = look([FLAT, UP], session_filter="10:00-11:00", start=SUMMER + 30 * 60 - STEP)
    assert reasons(across)[0] == "mother_bar_outside_session"


def test_ties_are_inside_unless_strict() -> None:
    tie = [PAIR[0], (100.2, 101.0, 99.4, 100.0)]
    assert len(look([UP], pair=tie).signals) == 1
    assert look([UP], pair=tie, inside_bar_mode="strict").signals == ()


def test_a_trigger_at_the_windows_end_has_no_order() -> None:
    found = look([UP], start=SUMMER + 90 * 60 - 3 * STEP)
    assert [s.reason for s in found.signals] == ["invalid_validity_window"]


def test_windows_follow_the_exchange_through_clock_changes_and_half_days() -> None:
    windows = trade_windows(SESSIONS, rules())
    opens = windows.starts - np.array([start // 86_400 * 86_400 for start in windows.starts.tolist()])
    assert sorted({int(o) // 60 for o in opens}) == [13 * 60 + 30, 14 * 60 + 30, 18 * 60, 19 * 60]
    assert not [s for s in windows.starts if HALF + 210 * 60 <= s < WINTER]  # nothing after an early close
    ends = {int(e - s) for s, e in zip(windows.starts, windows.ends, strict=True)}
    assert ends == {90 * 60, 60 * 60}
    assert look([UP], start=WINTER).signals[0].valid_to == WINTER + 90 * 60


def test_what_it_needs_is_the_session_so_far_and_its_warm_up() -> None:
    needs = rules(atr_period=14).requirement(max_no_trade=2)
    assert needs.max_no_trade == 2
    assert required_bars(needs, SESSIONS, SUMMER + STEP) == 1 + 15
    assert required_bars(needs, SESSIONS, SUMMER + 390 * 60) == 78 + 15 == 93


@pytest.mark.parametrize(
    "wrong",
    [
        {"inside_bar_definition_mode": "vibes"},
        {"inside_bar_mode": "maybe"},
        {"entry_level_mode": "moon"},
        {"order_validity_policy": "forever"},
        {"order_validity_policy": "fixed_minutes"},
        {"session_filter": "11:00-09:30"},
        {"session_filter": "09:30-11:00 10:00-12:00"},
        {"session_filter": ""},
        {"atr_period": "0"},
        {"atr_period": "1.5"},
        {"tick_size": "nan"},
        {"first_inside_bar_only": "perhaps"},
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DecisionError, match=next(iter(wrong))):
        rules(**wrong)


def test_parameters_are_all_there_and_no_others() -> None:
    values = vars(rules())
    with pytest.raises(DecisionError, match="missing"):
        Rules.of({k: v for k, v in values.items() if k != "tick_size"})
    with pytest.raises(DecisionError, match="luck"):
        Rules.of({**values, "luck": 1})
    assert Rules.of({k: str(v) for k, v in values.items()}) == rules()
    assert local_windows("09:30-16:00")[0][0].hour == 9


def test_the_hash_of_the_rules_leaves_execution_out() -> None:
    base = recorded()
    assert rules_hash(base) == rules_hash(recorded(slippage_bps=9))
    assert rules_hash(base) != rules_hash(recorded(atr_period=9))
    assert rules_hash(base) != rules_hash(replace(base, version="9"))
    assert [s.key for s in bar_strategies(seed_rows())] == ["insidebar_intraday", "insidebar_two_leg", "insidebar_m15"]


def test_no_bars_make_an_empty_table() -> None:
    prices = {name: pa.array([], pa.float64()) for name in ("open", "high", "low", "close", "volume")}
    names = {"symbol": pa.array([], pa.string()), "feed": pa.array([], pa.string())}
    empty = pa.table({**names, **prices, "bar_at": pa.array([], pa.timestamp("us", "UTC"))})
    day = [{"date": "2026-01-05", "open_utc": "2026-01-05T14:30:00Z", "close_utc": "2026-01-05T21:00:00Z"}]
    level = [{"threshold": f"bootstrap_{n}", "value": v} for n, v in (("level", 0.9), ("draws", 10), ("seed", 1))]
    level += [{"threshold": f"split_jump_{n}", "value": v} for n, v in (("least_ratio", 1.45), ("tolerance", 0.06))]
    made = bar_run_tables(empty, empty, seed_rows(), (day, []), level)
    assert made.num_rows == 0 and made.schema == sealed_schema(SCHEMA)
