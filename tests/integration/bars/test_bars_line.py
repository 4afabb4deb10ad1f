"""The bars' models on what `foreshore extract bars` landed: what is missing, what was dropped, what was corrected."""

from __future__ import annotations

from simulate.bars import RunningBars
from tests.bars_line_fixtures import extract
from tests.line_fixtures import Line

HOLE = 1_764_340_200 + 30 * 300  # 2025-11-28, 17:00 UTC, of a half day
TWICE = 1_764_599_400 + 600  # 2025-12-01, 14:40 UTC


def test_the_models_say_what_is_missing_and_what_was_dropped(bars_line: Line, bars_market: RunningBars) -> None:
    """A hole on a half day and bars sent twice, among trades outside the session."""
    bars_market.control("missing", channel="rest", symbol="FORE", first=HOLE, last=HOLE + 300)
    bars_market.control("duplicate", channel="rest", symbol="TIDE", first=TWICE, last=TWICE)
    assert extract(bars_line, bars_market).returncode == 0
    built = bars_line.dbt("build", "--select", "+bar_coverage", "+bars_m15", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    rows = bars_line.query(
        """
        select symbol, session_date::text, expected_count, missing_count, duplicate_count, coverage_status,
            epoch(first_missing_at)::bigint, epoch(last_missing_at)::bigint
        from bar_coverage where coverage_status <> 'complete' or duplicate_count > 0 order by all
        """
    )
    assert rows == [
        ("FORE", "2025-11-28", 42, 2, 0, "gap", HOLE, HOLE + 300),
        ("TIDE", "2025-12-01", 78, 0, 1, "complete", None, None),
    ]
    totals = "select symbol, sum(present_count), sum(expected_count) from bar_coverage group by symbol order by symbol"
    sessions = 61 * 78 - 2 * 36
    assert bars_line.query(totals) == [("FORE", sessions - 2, sessions), ("TIDE", sessions, sessions)]
    assert bars_line.query("select symbol, count(*) from bars_m15 group by symbol order by symbol") == [
        ("FORE", sessions // 3 - 1),
        ("TIDE", sessions // 3),
    ]
    (strays,) = bars_line.query("select sum(off_session_count) from bar_coverage")[0]
    assert strays > 20


REVISED_FROM, REVISED_TO = 1_764_599_400, 1_764_599_400 + 77 * 300  # all of 2025-12-01
SIGNALS = """
    select strategy_key, trigger_at, side, entry_price, stop_price, take_profit_price
    from main_intermediate.int_bar_signals where symbol = 'FORE'
"""
EFFECTS = """
    select strategy_key, trigger_at, side, {age}_entry_price, {age}_stop_price, {age}_take_profit_price
    from bar_revision_effects where {age}_entry_price is not null
"""


def test_a_correction_is_shown_with_the_signals_it_changed(bars_line: Line, bars_market: RunningBars) -> None:
    """A session that was first served a little wrong: what stood then, and what the warehouse says now."""
    bars_market.control("revised", channel="rest", symbol="FORE", value=0.004, first=REVISED_FROM, last=REVISED_TO)
    assert extract(bars_line, bars_market).returncode == 0
    built = bars_line.dbt("build", "--select", "+int_bar_signals", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    before = set(bars_line.query(SIGNALS))
    bars_market.heal()
    assert extract(bars_line, bars_market, "--no-resume").returncode == 0
    built = bars_line.dbt("build", "--select", "+bar_revisions", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    after = set(bars_line.query(SIGNALS))
    old, new = (set(bars_line.query(EFFECTS.format(age=age))) for age in ("old", "new"))
    assert before - after and after - before, "the correction moved no signal: the test says nothing"
    assert (old - new, new - old) == (before - after, after - before)
    ((bars, counted, rows),) = bars_line.query(
        "select count(*), max(rerun_signal_count), (select count(*) from bar_revision_effects) from bar_revisions"
    )
    assert 1 < bars <= 78 and counted == rows > 0
    assert bars_line.query("select distinct symbol, revised_bar_count from bar_revision_effects") == [("FORE", bars)]
