"""A store of bars compacted between two builds: every published table says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extract.config import load_config
from extract.lake import Lake
from simulate.bars import RunningBars
from tests.bars_line_fixtures import extract
from tests.line_fixtures import Line

pytestmark = pytest.mark.long
MODELS = ("bar_coverage", "bars_m15", "int_bar_revisions", "extract_ledger", "data_freshness")
REVISED = {"first": 1_764_599_400, "last": 1_764_599_400 + 77 * 300}  # all of 2025-12-01


def built(line: Line) -> dict[str, list[tuple[Any, ...]]]:
    done = line.dbt("build", "--select", *(f"+{name}" for name in MODELS), "--indirect-selection", "cautious")
    assert done.returncode == 0, done.stdout[-3000:]
    schemas = dict(line.query("select table_name, table_schema from information_schema.tables"))
    kept = "* exclude (load_id)"  # the one thing that compaction changes
    return {
        name: line.query(f"select {kept if name == 'extract_ledger' else '*'} from {schemas[name]}.{name} order by all")
        for name in MODELS
    }


def test_a_compacted_store_builds_the_same(bars_line: Line, bars_market: RunningBars) -> None:
    bars_market.control("revised", channel="rest", symbol="FORE", value=0.004, **REVISED)
    assert extract(bars_line, bars_market).returncode == 0
    bars_market.heal()
    assert extract(bars_line, bars_market, "--no-resume").returncode == 0
    before = built(bars_line)
    assert before["int_bar_revisions"], "a correction is what an older load is kept for"
    lake = Lake.of(load_config(str(bars_line.folder / "foreshore.toml")))
    loads = len(lake.committed_loads())
    done = bars_line.cli("compact", "--least", "2", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["groups"], done.stderr
    assert len(lake.committed_loads()) <= loads / 2
    assert built(bars_line) == before
    assert bars_line.cli("compact", "--least", "2").returncode == 3
    assert extract(bars_line, bars_market).returncode == 3, "what is complete is not fetched again"
