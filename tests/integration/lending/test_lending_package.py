"""The researcher's package of a small panel: every row and definition is there, and the same bytes come again."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import simulate
from extract.config import load_config
from extract.errors import RequestError
from operate.lending.package import TABLES, Wanted, pack
from tests.lending_line_fixtures import LendingLine

pytestmark = pytest.mark.node
SINCE, UNTIL = date(2025, 10, 30), date(2025, 11, 4)  # a day before the world's, and one after


@pytest.fixture(scope="module")
def small(small_lending_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory) -> LendingLine:
    made = LendingLine(small_lending_world, tmp_path_factory.mktemp("package"))
    assert made.extract() == 0
    made.build()
    return made


def packed(small: LendingLine, folder: Path, format_: str = "parquet") -> dict[str, Any]:
    def read(_: Any, queries: Mapping[str, str]) -> dict[str, pa.Table]:
        with duckdb.connect(str(small.folder / "build" / "foreshore.duckdb"), read_only=True) as built:
            built.execute("set TimeZone = 'UTC'")
            found = {name: sql for name, sql in queries.items() if name != "publication"}
            tables = {name: built.sql(sql).to_arrow_table() for name, sql in found.items()}
        return tables | {"publication": pa.table({"unit": ["lending"], "fingerprint": ["f"]})}

    config = load_config(str(small.folder / "foreshore.toml"))
    return pack(config, Wanted(SINCE, UNTIL, format_, folder), lambda _: None, read)


def test_gaps_are_explicit_and_every_column_is_defined(small: LendingLine, tmp_path: Path) -> None:
    manifest = packed(small, tmp_path / "p")
    panel = pq.read_table(tmp_path / "p" / "panel.parquet").to_pylist()
    csus = {row["csu_id"] for row in panel}
    assert len(panel) == len(csus) * 6, "one row per CSU and day"
    outside = [row for row in panel if row["day"] in (SINCE, UNTIL)]
    assert {(r["panel_status"], r["reason"]) for r in outside} == {("not_extracted", "never asked for")}
    assert all(r["net_tvl_usd"] is None and r["family"] for r in outside)
    with (tmp_path / "p" / "codebook.csv").open() as handle:
        book = list(csv.DictReader(handle))
    undefined = [(r["file"], r["column"]) for r in book if not r["definition"]]
    assert undefined == [] and {r["file"] for r in book} == {f"{name}.parquet" for name in TABLES}
    assert {r["unit"] for r in book if r["column"] == "net_tvl_usd"} == {"US dollars"}
    assert manifest["providers"] == {"lending_world": ["lending_world"]}
    for name, of in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "p" / name).read_bytes()).hexdigest() == of["sha256"]
    assert json.loads((tmp_path / "p" / "manifest.json").read_text())["commands"][0].startswith("foreshore extract")


@pytest.mark.parametrize("format_", ["parquet", "csv", "dta"])
def test_the_same_build_packs_to_the_same_bytes(small: LendingLine, tmp_path: Path, format_: str) -> None:
    first, second = (packed(small, tmp_path / name, format_) for name in ("one", "two"))
    assert first["files"] == second["files"] and len(first["files"]) == len(TABLES) + 1


def test_integers_stay_exact_in_every_format(small: LendingLine, tmp_path: Path) -> None:
    for format_ in ("parquet", "csv", "dta"):
        packed(small, tmp_path / format_, format_)
    exact = [str(v) for v in pq.read_table(tmp_path / "parquet" / "reserves.parquet")["supplied_raw"].to_pylist()]
    with (tmp_path / "csv" / "reserves.csv").open() as handle:
        assert [row["supplied_raw"] for row in csv.DictReader(handle)] == exact
    stata = pandas.read_stata(tmp_path / "dta" / "reserves.dta")
    assert stata["supplied_raw_text"].tolist() == exact and max(len(text) for text in exact) > 17
    panel = pandas.read_stata(tmp_path / "dta" / "panel.dta")
    assert panel["day"].tolist()[0] == "2025-10-30" and panel["net_tvl_usd"].isna().any()


def test_a_folder_in_use_and_days_upside_down_are_refused(small: LendingLine, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(RequestError, match="is not empty: name a new folder"):
        packed(small, tmp_path)
    config = load_config(str(small.folder / "foreshore.toml"))
    with pytest.raises(RequestError, match="is after --until"):
        pack(config, Wanted(UNTIL, SINCE, "csv", tmp_path / "x"), lambda _: None)
