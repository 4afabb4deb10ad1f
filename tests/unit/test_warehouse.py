"""Readers see whole, passed builds only, and can change nothing."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from extract.errors import RequestError
from operate.console import to_json
from operate.warehouse import Warehouse, WarehouseError, has_passed, publish, query


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORESHORE_BUILD", raising=False)
    made = Warehouse(tmp_path / "data", "data/raw")
    made.build_file.parent.mkdir(parents=True)
    return made


def build(warehouse: Warehouse, number: int, status: str = "pass", select: str | None = None) -> None:
    """What a dbt build leaves: the file and its run results."""
    with duckdb.connect(str(warehouse.build_file)) as file:
        file.sql(f"create or replace table votes as select {number}::decimal(38, 0) as votes_raw, now() as seen_at")
    target = Path("target")
    target.mkdir(exist_ok=True)
    results = {
        "args": {"which": "build", "select": select or []},
        "results": [{"status": "success"}, {"status": status}],
    }
    (target / "run_results.json").write_text(json.dumps(results))
    os.utime(warehouse.build_file)


def test_nothing_published_says_what_to_do(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="make extract && make build"):
        query(warehouse, "select 1")


def test_a_passed_build_is_published_before_it_is_read(warehouse: Warehouse) -> None:
    huge = 12345678901234567890123456789
    build(warehouse, huge)
    columns, rows = query(warehouse, "select votes_raw, seen_at from votes")
    assert columns == ["votes_raw", "seen_at"]
    assert rows[0][0] == Decimal(huge)
    assert json.loads(json.dumps(to_json(rows)))[0][0] == huge
    assert rows[0][1].utcoffset() == datetime.now(UTC).utcoffset()
    assert duckdb.sql(f"select votes_raw from '{warehouse.exports}/votes.parquet'").fetchall() == [(Decimal(huge),)]


@pytest.mark.parametrize(("status", "select"), [("fail", None), ("error", None), ("pass", "one_model")])
def test_a_failed_or_partial_build_stays_unseen(warehouse: Warehouse, status: str, select: str | None) -> None:
    build(warehouse, 1)
    assert query(warehouse, "select votes_raw from votes")[1] == [(Decimal(1),)]
    build(warehouse, 2, status, select)
    assert query(warehouse, "select votes_raw from votes")[1] == [(Decimal(1),)]


@pytest.mark.parametrize(
    "statement",
    [
        "create table x as select 1",
        "delete from votes",
        "copy votes to 'stolen.csv'",
        "select * from read_csv('/etc/hostname')",
        "attach 'other.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_queries_cannot_write_or_reach_out(warehouse: Warehouse, statement: str) -> None:
    build(warehouse, 1)
    with pytest.raises(RequestError, match="the query failed"):
        query(warehouse, statement)
    assert not Path("stolen.csv").exists()
    assert query(warehouse, "select count(*) from votes")[1] == [(1,)]


def test_a_build_in_progress_is_said_plainly(warehouse: Warehouse) -> None:
    """Another process holds the built file: publishing waits for nobody and names the reason."""
    build(warehouse, 1)
    publish(warehouse)
    assert has_passed({"args": {"which": "build"}, "results": [{"status": "warn"}]})
    assert has_passed({"args": {"which": "build"}, "results": [{"status": "no-op"}, {"status": "success"}]})
    assert not has_passed({"args": {"which": "build"}, "results": [{"status": "skipped"}]})
    assert not has_passed({"args": {"which": "test"}, "results": [{"status": "pass"}]})
    assert not has_passed({"args": {"which": "build"}, "results": []})
