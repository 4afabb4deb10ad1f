"""Build with dbt, publish what passed, read what was published.

A DuckDB file has one process at a time, so dbt builds its own file; readers get a copy that is swapped in
whole, and only after every test of that build has passed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from extract.config import Config
from extract.errors import ForeshoreError, RequestError

PASSING = {"success", "pass", "warn", "skipped"}
MART_SCHEMA = "main"


class WarehouseError(ForeshoreError):
    """The warehouse is not there, is being built, or did not pass."""


@dataclass(frozen=True)
class Warehouse:
    """The files of one warehouse."""

    root: Path
    raw_url: str

    @classmethod
    def of(cls, config: Config) -> Warehouse:
        return cls(config.root, config.raw_url)

    @property
    def build_file(self) -> Path:
        return Path(os.environ.get("FORESHORE_BUILD", self.root / "build" / "foreshore.duckdb"))

    @property
    def published_file(self) -> Path:
        return self.root / "foreshore.duckdb"

    @property
    def exports(self) -> Path:
        return self.root / "published"

    def environment(self) -> dict[str, str]:
        """Variables that point dbt at these files (profiles.yml and dbt_project.yml read them)."""
        return {"FORESHORE_RAW": self.raw_url, "FORESHORE_BUILD": str(self.build_file), "DO_NOT_TRACK": "1"}


def run_dbt(warehouse: Warehouse, *commands: Sequence[str]) -> bool:
    """Run dbt commands one after another in this process (each new process costs five seconds); stops at a failure."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    warehouse.build_file.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(warehouse.environment())
    runner = dbtRunner()
    try:
        return all(runner.invoke(list(command)).success for command in commands)
    finally:
        DuckDBConnectionManager.close_all_connections()


def last_build(target: Path = Path("target")) -> dict[str, Any] | None:
    """dbt's own record of its newest run, or None."""
    try:
        return dict(json.loads((target / "run_results.json").read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def has_passed(results: dict[str, Any]) -> bool:
    """Whether a run was a whole build in which nothing failed."""
    whole = results["args"].get("which") == "build" and not results["args"].get("select")
    return whole and all(r["status"] in PASSING for r in results["results"]) and bool(results["results"])


def publish(warehouse: Warehouse) -> list[str]:
    """Swap the built file in for readers and export the marts as parquet; returns the tables. Only whole files appear."""
    part = warehouse.published_file.with_suffix(".part")
    part.unlink(missing_ok=True)
    staging = warehouse.root / "published.part"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    with _connect(warehouse.build_file, read_only=True) as build:
        build.sql(f"attach '{part}' as published")
        build.sql(f"copy from database {_catalog(warehouse.build_file)} to published")
        build.sql("detach published")
        tables = [row[0] for row in build.sql(_MARTS).fetchall()]
        for name in tables:
            build.sql(f"copy {MART_SCHEMA}.{name} to '{staging / name}.parquet' (format parquet, compression zstd)")
    part.replace(warehouse.published_file)
    shutil.rmtree(warehouse.exports, ignore_errors=True)
    staging.replace(warehouse.exports)
    return tables


_MARTS = f"select table_name from information_schema.tables where table_schema = '{MART_SCHEMA}' order by 1"


def ensure_published(warehouse: Warehouse) -> None:
    """Publish the newest build if it passed and is newer than what readers have (a bare `dbt build` does not publish)."""
    results, published = last_build(), warehouse.published_file
    if results is None or not warehouse.build_file.exists() or not has_passed(results):
        return
    if not published.exists() or published.stat().st_mtime < warehouse.build_file.stat().st_mtime:
        publish(warehouse)


def query(warehouse: Warehouse, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a read-only query over what was published."""
    ensure_published(warehouse)
    if not warehouse.published_file.exists():
        raise WarehouseError(
            f"nothing is published at {warehouse.published_file} yet: run `make extract && make build` (or `make demo`)"
        )
    with _connect(warehouse.published_file, read_only=True) as published:
        published.sql("set enable_external_access = false")
        published.sql("set lock_configuration = true")
        try:
            result = published.execute(sql)
            return [column[0] for column in result.description or []], result.fetchall()
        except duckdb.Error as error:
            raise RequestError(f"the query failed: {error}") from None


def _catalog(path: Path) -> str:
    return f'"{path.stem}"'


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=read_only, config={"TimeZone": "UTC"})
    except duckdb.IOException as error:
        raise WarehouseError(f"{path} is in use by another process (a build?): wait for it and try again. {error}") from None
