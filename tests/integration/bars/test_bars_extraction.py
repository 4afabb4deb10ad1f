"""`foreshore extract bars` from the simulated market: killed and resumed, faulty, and never twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from extract.lake import Lake
from extract.ledger import Ledger
from simulate.bars import RunningBars
from tests.bars_line_fixtures import SPAN, SYMBOLS, extract
from tests.kills import files, kill_when
from tests.line_fixtures import ROOT, Line


def ledger(bars_line: Line) -> dict[str, tuple[int, bool]]:
    """Rows of every partition, and whether its newest attempt failed."""
    states = Ledger.read(Lake(str(bars_line.folder / "raw"))).states
    return {name: (state.complete["rows"] if state.complete else 0, state.is_failing) for name, state in states.items()}


def test_the_line_lands_what_is_missing_and_nothing_twice(bars_line: Line, bars_market: RunningBars) -> None:
    planned = extract(bars_line, bars_market, "--plan", "--json")
    assert (planned.returncode, json.loads(planned.stdout)["due"]) == (0, 6)
    first = extract(bars_line, bars_market, "--json")
    assert (first.returncode, json.loads(first.stdout)["complete"]) == (0, 6)
    assert extract(bars_line, bars_market).returncode == 3
    wider = bars_line.cli(
        "extract",
        "bars",
        "--symbol",
        "FORE",
        "--from",
        "2025-10-15",
        "--to",
        "2025-11-20",
        "--json",
        **bars_market.environ,
    )
    assert (json.loads(wider.stdout)["complete"], json.loads(wider.stdout)["skipped"]) == (1, 1)  # November holds more
    assert not any(is_failing for _, is_failing in ledger(bars_line).values()) and len(ledger(bars_line)) == 7


@pytest.mark.long
def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    bars_line: Line, bars_market: RunningBars, tmp_path: Path
) -> None:
    """kill -9 again and again, then to the end: the same rows as a run nobody killed."""
    quiet = Line(None, tmp_path / "quiet")  # type: ignore[arg-type]
    quiet.folder.mkdir()
    quiet.configure(bars_market.config("eodhd"))
    assert extract(quiet, bars_market).returncode == 0
    chance = random.Random(3)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "operate.cli", "extract", "bars", *SYMBOLS, *SPAN],
            cwd=ROOT,
            env={**os.environ, **bars_line.environment(), **bars_market.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kill_when(process, files(bars_line.folder), chance.randrange(1, 12))
    assert extract(bars_line, bars_market).returncode in (0, 3)
    assert ledger(bars_line) == ledger(quiet) and len(ledger(bars_line)) == 6


@pytest.mark.long
def test_faults_are_partitions_that_failed_and_no_secret_is_written(bars_line: Line, bars_market: RunningBars) -> None:
    bars_market.control("down", channel="rest", symbol="TIDE", value=403)
    partial = extract(bars_line, bars_market)
    assert partial.returncode == 2 and "refused TIDE M5 (HTTP 403" in partial.stderr
    bars_market.heal()
    again = extract(bars_line, bars_market, "--json")
    assert (again.returncode, json.loads(again.stdout)["complete"]) == (0, 3)
    bars_market.control("empty", channel="rest", symbol="FORE")
    empty = extract(bars_line, bars_market, "--no-resume")
    assert empty.returncode == 2 and "has no bar of FORE from 2025-11-01" in empty.stderr
    token = bars_market.environ["WORLD_BARS_TOKEN"].encode()
    written = [path for path in bars_line.folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if token in path.read_bytes()] == []
    assert token.decode() not in partial.stdout + partial.stderr + empty.stdout + empty.stderr
