"""A lake with the rows of another one, some of them changed: what outsiders can do to it, without their help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from extract.lake import NO_LOAD, Lake
from extract.land import land
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE, declare
from operate.tables import RAW_TABLES

SCHEMAS: dict[str, pa.Schema] = {**RAW_TABLES, LEDGER_TABLE: LEDGER_SCHEMA}


def spoil(source: Path, target: Path, changes: Sequence[str]) -> None:
    """Land in `target` what `source` holds of every partition's newest load, after `changes` (SQL on raw tables)."""
    with duckdb.connect(":memory:") as rows:
        rows.execute("set TimeZone = 'UTC'")
        loaded = "regexp_extract(filename, '([^/]+)\\.[^./]+\\.parquet$', 1)"
        for table in SCHEMAS:
            rows.execute(
                f"create table {table} as select * exclude (filename), {loaded} as load_id from "
                f"read_parquet('{source}/{table}/*.parquet', filename = true) where {loaded} <> '{NO_LOAD}'"
            )
        newest = "qualify row_number() over (partition by partition_id order by load_id desc) = 1"
        rows.execute(f"create table kept as from {LEDGER_TABLE} where status = 'complete' {newest}")
        for table in SCHEMAS:
            kept = "(select (partition_id, load_id) from kept)"
            rows.execute(f"delete from {table} where (partition_id, load_id) not in {kept}")
        for change in changes:
            rows.execute(change)
        made = {
            name: rows.sql(f"select {', '.join(schema.names)} from {name}").to_arrow_table().cast(schema)
            for name, schema in SCHEMAS.items()
        }
    lake = Lake(str(target))
    declare(lake, RAW_TABLES)
    land(lake, "spoiled", {name: table for name, table in made.items() if table.num_rows})


def failing(tables: Sequence[str], condition: str) -> list[str]:
    """Changes that make the partitions of `condition` (on the ledger) fail as if they had never been complete."""
    mine = f"(select partition_id from {LEDGER_TABLE} where {condition})"
    told = "status = 'failed', error_class = 'ProviderError', error_message = 'the provider answered 503 five times'"
    return [
        *(f"delete from {table} where partition_id in {mine}" for table in tables),
        f"update {LEDGER_TABLE} set {told} where {condition}",
    ]
