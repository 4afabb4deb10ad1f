"""Recorded AAPL and HOOD through the extractor and the models: every expected bar, and nothing that is none."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.line_fixtures import Line

pytestmark = pytest.mark.golden
OUTSIDE = {"AAPL": 193, "HOOD": 238}
SELECTED = ["+bar_coverage", "+bars_m15"]


@pytest.fixture(scope="module")
def recorded(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    line = Line(None, tmp_path_factory.mktemp("golden_bars"))  # type: ignore[arg-type]
    path = golden / "bars"
    line.configure(f'[[bars.providers]]\nname = "recorded"\nkind = "files"\nfeed = "recorded"\npath = "{path}"\n')
    done = line.cli("extract", "bars", "--symbol", "AAPL", "--symbol", "HOOD")
    assert done.returncode == 0, done.stderr
    built = line.dbt("build", "--select", *SELECTED, "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    return line


def test_every_expected_bar_is_there_and_every_other_row_is_counted(recorded: Line) -> None:
    rows = recorded.query(
        """
        select symbol, sum(expected_count), sum(present_count), sum(missing_count), sum(off_session_count),
            sum(off_grid_count + duplicate_count + unusable_count), count(*), min(session_date), max(session_date)
        from bar_coverage group by symbol order by symbol
        """
    )
    span = (date(2025, 5, 12), date(2026, 3, 12))
    assert rows == [(symbol, 16_207, 16_207, 0, outside, 0, 210, *span) for symbol, outside in OUTSIDE.items()]
    sent = dict(recorded.query("select symbol, sum(row_count) from main_staging.stg_bars__requests group by symbol"))
    assert sent == {symbol: 16_207 + outside for symbol, outside in OUTSIDE.items()}


def test_half_days_have_42_bars_and_the_file_ends_in_a_session(recorded: Line) -> None:
    early = recorded.query(
        "select session_date, present_count, coverage_status from bar_coverage where is_early and symbol = 'HOOD'"
    )
    assert sorted(early) == [
        (day, 42, "complete") for day in (date(2025, 7, 3), date(2025, 11, 28), date(2025, 12, 24))
    ]
    cut = "select symbol, session_date, expected_count from bar_coverage where coverage_status <> 'complete' order by 1"
    assert recorded.query(cut) == [(symbol, date(2026, 3, 12), 13) for symbol in OUTSIDE]


def test_fifteen_minute_bars_are_whole_threes(recorded: Line) -> None:
    """16,207 = 3 x 5,402 + 1: the last bar of the file has no two others."""
    assert recorded.query("select symbol, count(*) from bars_m15 group by symbol order by symbol") == [
        ("AAPL", 5_402),
        ("HOOD", 5_402),
    ]
    wrong = recorded.query(
        """
        select count(*) from bars_m15 as long
        inner join (
            select symbol, time_bucket(interval 15 minutes, bar_at) as bar_at, list(m5 order by m5.bar_at) as parts
            from bars_m5 as m5 group by all
        ) as short using (symbol, bar_at)
        where (long.open, long.close) <> (short.parts[1].open, short.parts[3].close)
            or long.high <> greatest(short.parts[1].high, short.parts[2].high, short.parts[3].high)
            or long.low <> least(short.parts[1].low, short.parts[2].low, short.parts[3].low)
            or long.volume <> short.parts[1].volume + short.parts[2].volume + short.parts[3].volume
        """
    )
    assert wrong == [(0,)]


def test_prices_are_the_recorded_ones(recorded: Line, golden: Path) -> None:
    """The file joined to the mart by New York time, row by row."""
    for symbol in OUTSIDE:
        same = recorded.query(
            f"""
            select count(*) from read_csv('{golden / "bars" / f"{symbol}_5min.csv"}') as file
            inner join bars_m5 on bars_m5.symbol = '{symbol}'
                and bars_m5.bar_at = timezone('America/New_York', file.datetime)
                and (bars_m5.open, bars_m5.high, bars_m5.low, bars_m5.close, bars_m5.volume)
                    = (file.open, file.high, file.low, file.close, file.volume)
            """
        )
        assert same == [(16_207,)]
