"""The small files with known answers, read where they are, through `foreshore extract bars`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extract.bars.tables import BARS
from extract.lake import Lake
from tests.unit.bars.test_bar_edges import Desk

pytestmark = pytest.mark.golden


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def put(desk: Desk, golden: Path, case: str, name: str) -> Desk:
    shutil.copyfile(golden / "cases" / case, desk.files / name)
    return desk


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Tokyo"])
def test_an_export_with_unix_seconds_opens_when_the_exchange_does(desk: Desk, golden: Path, zone: str) -> None:
    landed = put(desk, golden, "bars_eodhd_export.csv", "HOOD_5min.csv").landed("HOOD", time_zone=zone)
    first = min(landed, key=lambda row: row["bar_at"])
    assert (int(first["bar_at"].timestamp()), first["open"], first["close"]) == (1_772_461_800, 80.1, 80.4)


def test_two_times_that_disagree_are_named_with_their_row(desk: Desk, golden: Path) -> None:
    said = put(desk, golden, "bars_two_times_disagree.csv", "HOOD.csv").refusal("--symbol", "HOOD")
    assert "datetime" in said and "columns t " in said and "line 2" in said
    assert not Lake(f"{desk.folder}/data/raw").read_committed("bars", BARS).num_rows


@pytest.mark.parametrize(("symbol", "close"), [("BAC", 100.2), ("BAC.PRL", 1_181.0), ("BAC.WS", 1.01)])
def test_a_share_is_neither_its_preferred_nor_its_warrant(desk: Desk, golden: Path, symbol: str, close: float) -> None:
    landed = put(desk, golden, "bars_symbol_column.csv", "all.csv").landed(symbol, path="bars/all.csv")
    assert [(row["symbol"], row["close"]) for row in landed] == [(symbol, close)]
