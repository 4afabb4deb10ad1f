"""Build with dbt, publish what passed, read what was published.

A DuckDB file has one process at a time, so dbt builds its own file; readers get a copy that is swapped in
whole, and only after every test of that build has passed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from extract.config import Config
from extract.errors import ForeshoreError, RequestError

PASSING = {"success", "pass", "warn", "no-op"}  # an exposure is a no-op; a skipped node stands behind a failed one
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
        """What dbt builds; in dbt's own folder, which dbt makes before it connects (profiles.yml has the same path)."""
        return Path(os.environ.get("FORESHORE_BUILD", "target/foreshore.duckdb"))

    @property
    def published_file(self) -> Path:
        return self.root / "foreshore.duckdb"

    @property
    def exports(self) -> Path:
        return self.root / "published"

    def environment(self) -> dict[str, str]:
        """Variables that point dbt at these files (profiles.yml and dbt_project.yml read them)."""
        ledger = os.environ.get("FORESHORE_LEDGER") or str(self.root / "ledger" / "markets.duckdb")
        return {
            "FORESHORE_RAW": self.raw_url,
            "FORESHORE_BUILD": str(self.build_file),
            "FORESHORE_LEDGER": ledger,
            "DO_NOT_TRACK": "1",
        }


def run_dbt(warehouse: Warehouse, *commands: Sequence[str]) -> bool:
    """Run dbt commands one after another in this process (each new process costs five seconds); stops at a failure."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    warehouse.build_file.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(warehouse.environment())
    runner = dbtRunner()
    try:
        for command in commands:
            result = runner.invoke(list(command))
            if result.exception is not None:
                raise WarehouseError(f"dbt {command[-1]} could not run: {result.exception}")
            if not result.success:
                return False
        return True
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
    """Swap the built file in for readers and export the marts as parquet; returns the marts' names."""
    part = warehouse.published_file.with_suffix(".part")
    part.unlink(missing_ok=True)
    staging = warehouse.root / "published.part"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    with _connect(part, read_only=False) as published:
        _attach(published, warehouse.build_file)
        built = published.sql(_TABLES).fetchall()
        for schema, name in built:
            published.sql(f'create schema if not exists "{schema}"')
            published.sql(f'create table "{schema}"."{name}" as select * from built."{schema}"."{name}"')
        tables = [name for schema, name in built if schema == MART_SCHEMA]
        for name in tables:
            published.sql(f"copy {MART_SCHEMA}.{name} to '{staging / name}.parquet' (format parquet, compression zstd)")
        published.sql("detach built")
    part.replace(warehouse.published_file)
    shutil.rmtree(warehouse.exports, ignore_errors=True)
    staging.replace(warehouse.exports)
    return tables


# tables only: staging views read raw files, which readers have no business with
_TABLES = "select schema_name, table_name from duckdb_tables() where database_name = 'built' order by all"


def ensure_published(warehouse: Warehouse) -> None:
    """Publish the newest build if it passed and readers do not have it (a bare `dbt build` does not publish)."""
    results, published = last_build(), warehouse.published_file
    if results is None or not warehouse.build_file.exists() or not has_passed(results):
        return
    if not published.exists() or published.stat().st_mtime < warehouse.build_file.stat().st_mtime:
        publish(warehouse)


def query(warehouse: Warehouse, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a read-only query over what was published."""
    with _open_published(warehouse) as published:
        try:
            result = published.execute(sql)
            return [column[0] for column in result.description or []], result.fetchall()
        except duckdb.Error as error:
            raise RequestError(f"the query failed: {error}") from None


def _open_published(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """A locked-down read-only connection to what was published."""
    ensure_published(warehouse)
    if not warehouse.published_file.exists():
        raise WarehouseError(
            f"nothing is published at {warehouse.published_file} yet: run `make extract && make build` (or `make demo`)"
        )
    published = _connect(warehouse.published_file, read_only=True)
    published.execute("set enable_external_access = false")
    published.execute("set lock_configuration = true")
    return published


def read_tables(warehouse: Warehouse, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    """Arrow tables of read-only queries over what was published, from one connection: all of the same build."""
    with _open_published(warehouse) as published:
        return {name: published.sql(sql).to_arrow_table() for name, sql in queries.items()}


def _attach(connection: duckdb.DuckDBPyConnection, build_file: Path) -> None:
    try:
        connection.sql(f"attach '{build_file}' as built (read_only)")
    except duckdb.IOException as error:
        raise WarehouseError(f"{build_file} is in use by another process (a build?): wait for it. {error}") from None


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
        connection.execute("set TimeZone = 'UTC'")
        return connection
    except duckdb.IOException as error:
        raise WarehouseError(
            f"{path} is in use by another process (a build?): wait for it and try again. {error}"
        ) from None
