"""Ends as the sources write them, each with its snapshot and the right answer: the same through the reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.lake import Lake
from extract.markets.normalize import normalize_market
from extract.markets.resolve import Asked, classify
from extract.markets.tables import POLYMARKET_TABLES
from tests.market_run_fixtures import ROOT
from tests.polymarket_fixtures import FIRST, MarketLine

pytestmark = pytest.mark.golden
OPEN = {"outcomePrices": '["0.5", "0.5"]', "active": True, "closed": False}


def test_every_end_on_record_is_told_right(golden: Path) -> None:
    cases = json.loads((golden / "cases" / "market_ends.json").read_text())
    assert len(cases) >= 11
    for case in cases:
        snapshot = normalize_market(case["snapshot"] | OPEN)
        told = {name: snapshot[name] for name in ("market_id", "condition_id")}
        asked = Asked(**told, outcomes=tuple(snapshot["outcomes"]), token_ids=tuple(snapshot["token_ids"]))
        row, right = classify(case["end"], asked), case["right"]
        assert (row["status"], row["label"]) == (right["status"], right["label"]), case["case"]
        if "resolved_at" in right:
            assert f"{row['resolved_at']:%Y-%m-%dT%H:%M:%SZ}" == right["resolved_at"]


STATED = ("umaResolutionStatus", "umaResolutionStatuses", "automaticallyResolved", "resolutionStatus", "closedTime")
STATED += ("umaEndDate", "umaEndDateIso")


def extract(line: MarketLine, *arguments: str) -> None:
    """`foreshore extract markets` against the served source."""
    config = line.folder / "foreshore.toml"
    config.write_text(
        f'[storage]\nroot = "{line.folder}"\nraw_url = "{line.folder}/raw"\nseeds = "{ROOT}/seeds"\n'
        f'[polymarket]\ngamma_url = "{line.server.url}"\nclob_url = "{line.server.url}"\n'
    )
    command = [sys.executable, "-m", "operate.cli", "extract", "markets", *arguments, "--config", str(config)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORESHORE_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_end_on_record_is_told_right_by_the_command(golden: Path, market_line: MarketLine) -> None:
    """Served markets with the recorded fields: their snapshots land, time goes by, their ends are asked for."""
    cases = json.loads((golden / "cases" / "market_ends.json").read_text())
    served = dict(zip(sorted(market_line.wanted()), cases, strict=False))
    assert len(served) == len(cases)
    market_line.server.amend({name: _all_but_the_id(case["snapshot"]) for name, case in served.items()})
    extract(market_line, "--run-date", f"{FIRST}")
    market_line.at(FIRST + timedelta(days=30))
    absent = {name: {"absent": True} for name in STATED}
    market_line.server.amend({name: absent | _all_but_the_id(case["end"]) for name, case in served.items()})
    extract(market_line, "--resolutions")
    table = Lake(f"{market_line.folder}/raw").read_committed(
        "polymarket_resolutions", POLYMARKET_TABLES["polymarket_resolutions"]
    )
    told = {row["market_id"]: (row["status"], row["label"]) for row in table.to_pylist()}
    for name, case in served.items():
        assert told[name] == (case["right"]["status"], case["right"]["label"]), case["case"]


def _all_but_the_id(record: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in record.items() if field != "id"}
