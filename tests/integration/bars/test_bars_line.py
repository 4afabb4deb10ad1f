"""`foreshore extract bars` from the simulated market, killed and resumed, and the models on what landed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from extract.land import Lake
from extract.ledger import Ledger
from simulate import bars as stock_market
from simulate.bars import RunningBars
from tests.kills import files, kill_when
from tests.line_fixtures import ROOT, Line

SPAN = ["--from", "2025-11-01", "--to", "2026-01-30"]  # the day after Thanksgiving, Christmas, new year
SYMBOLS = ["--symbol", "FORE", "--symbol", "TIDE"]
HOLE = 1_764_340_200 + 30 * 300  # 2025-11-28, 17:00 UTC, of a half day
TWICE = 1_764_599_400 + 600  # 2025-12-01, 14:40 UTC


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBars]:
    with stock_market.running(tmp_path_factory.mktemp("market"), now="2026-03-09T13:25:00Z") as running:
        yield running


@pytest.fixture
def line(market: RunningBars, tmp_path: Path) -> Iterator[Line]:
    made = Line(None, tmp_path)  # type: ignore[arg-type]
    made.configure(market.config("eodhd"))
    yield made
    market.heal()


def extract(line: Line, market: RunningBars, *arguments: str) -> subprocess.CompletedProcess[str]:
    return line.cli("extract", "bars", *SYMBOLS, *SPAN, *arguments, **market.environ)


def ledger(line: Line) -> dict[str, tuple[int, bool]]:
    """Rows of every partition, and whether its newest attempt failed."""
    states = Ledger.read(Lake(str(line.folder / "raw"))).states
    return {name: (state.complete["rows"] if state.complete else 0, state.is_failing) for name, state in states.items()}


def test_the_line_lands_what_is_missing_and_nothing_twice(line: Line, market: RunningBars) -> None:
    planned = extract(line, market, "--plan", "--json")
    assert (planned.returncode, json.loads(planned.stdout)["due"]) == (0, 6)
    first = extract(line, market, "--json")
    assert (first.returncode, json.loads(first.stdout)["complete"]) == (0, 6)
    assert extract(line, market).returncode == 3
    wider = line.cli(
        "extract", "bars", "--symbol", "FORE", "--from", "2025-10-15", "--to", "2025-11-20", "--json", **market.environ
    )
    assert (json.loads(wider.stdout)["complete"], json.loads(wider.stdout)["skipped"]) == (1, 1)  # November holds more
    assert not any(is_failing for _, is_failing in ledger(line).values()) and len(ledger(line)) == 7


def test_a_kill_at_any_moment_loses_and_doubles_nothing(line: Line, market: RunningBars, tmp_path: Path) -> None:
    """kill -9 again and again, then to the end: the same rows as a run nobody killed."""
    quiet = Line(None, tmp_path / "quiet")  # type: ignore[arg-type]
    quiet.folder.mkdir()
    quiet.configure(market.config("eodhd"))
    assert extract(quiet, market).returncode == 0
    chance = random.Random(3)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "operate.cli", "extract", "bars", *SYMBOLS, *SPAN],
            cwd=ROOT,
            env={**os.environ, **line.environment(), **market.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kill_when(process, files(line.folder), chance.randrange(1, 12))
    assert extract(line, market).returncode in (0, 3)
    assert ledger(line) == ledger(quiet) and len(ledger(line)) == 6


def test_faults_are_partitions_that_failed_and_no_secret_is_written(line: Line, market: RunningBars) -> None:
    market.control("down", channel="rest", symbol="TIDE", value=403)
    partial = extract(line, market)
    assert partial.returncode == 2 and "refused TIDE M5 (HTTP 403" in partial.stderr
    market.heal()
    again = extract(line, market, "--json")
    assert (again.returncode, json.loads(again.stdout)["complete"]) == (0, 3)
    market.control("empty", channel="rest", symbol="FORE")
    empty = extract(line, market, "--no-resume")
    assert empty.returncode == 2 and "has no bar of FORE from 2025-11-01" in empty.stderr
    token = market.environ["WORLD_BARS_TOKEN"].encode()
    written = [path for path in line.folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if token in path.read_bytes()] == []
    assert token.decode() not in partial.stdout + partial.stderr + empty.stdout + empty.stderr


def test_the_models_say_what_is_missing_and_what_was_dropped(line: Line, market: RunningBars) -> None:
    """A hole on a half day and bars sent twice, among trades outside the session."""
    market.control("missing", channel="rest", symbol="FORE", first=HOLE, last=HOLE + 300)
    market.control("duplicate", channel="rest", symbol="TIDE", first=TWICE, last=TWICE)
    assert extract(line, market).returncode == 0
    built = line.dbt("build", "--select", "+bar_coverage", "+bars_m15", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    rows = line.query(
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
    assert line.query(totals) == [("FORE", sessions - 2, sessions), ("TIDE", sessions, sessions)]
    assert line.query("select symbol, count(*) from bars_m15 group by symbol order by symbol") == [
        ("FORE", sessions // 3 - 1),
        ("TIDE", sessions // 3),
    ]
    (strays,) = line.query("select sum(off_session_count) from bar_coverage")[0]
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


def test_a_correction_is_shown_with_the_signals_it_changed(line: Line, market: RunningBars) -> None:
    """A session that was first served a little wrong: what stood then, and what the warehouse says now."""
    market.control("revised", channel="rest", symbol="FORE", value=0.004, first=REVISED_FROM, last=REVISED_TO)
    assert extract(line, market).returncode == 0
    built = line.dbt("build", "--select", "+int_bar_signals", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    before = set(line.query(SIGNALS))
    market.heal()
    assert extract(line, market, "--no-resume").returncode == 0
    built = line.dbt("build", "--select", "+bar_revisions", "--indirect-selection", "cautious")
    assert built.returncode == 0, built.stdout[-3000:]
    after = set(line.query(SIGNALS))
    old, new = (set(line.query(EFFECTS.format(age=age))) for age in ("old", "new"))
    assert before - after and after - before, "the correction moved no signal: the test says nothing"
    assert (old - new, new - old) == (before - after, after - before)
    ((bars, counted, rows),) = line.query(
        "select count(*), max(rerun_signal_count), (select count(*) from bar_revision_effects) from bar_revisions"
    )
    assert 1 < bars <= 78 and counted == rows > 0
    assert line.query("select distinct symbol, revised_bar_count from bar_revision_effects") == [("FORE", bars)]
