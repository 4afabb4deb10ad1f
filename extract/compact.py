"""Fewer raw files: small load packages of one source become one, in which every row, ledger row and time is kept.

A compacted load names the loads it stands for (`replaces`) in its own commit record, which appears in one piece: before
it nothing of the new load is visible, after it nothing of the old ones. Deleting the old files is only tidying, which a
killed run leaves to the next `sweep`. Loads are taken in order of commit and never two with rows of the same partition,
so that whoever asks for a partition's newest load finds the rows it found before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.errors import StorageError
from extract.integrity import audit
from extract.lake import FILES_SCHEMA, FILES_TABLE, NO_LOAD, Lake, load_id_of
from extract.ledger import COMPLETE, LEDGER_SCHEMA, LEDGER_TABLE
from extract.mirror import Stored
from extract.scratch import work_folder

LEAST_LOADS = 8  # fewer of a source are left alone: each compaction writes what it merges once more
MOST_BYTES = 64 * 2**20  # of a compacted load: one that has grown past it is not written again


@dataclass(frozen=True)
class Group:
    """Loads of one source that become one, oldest first, with their commit records and files by load and table."""

    source: str
    records: tuple[dict[str, Any], ...]
    files: dict[str, dict[str, Stored]]

    @property
    def file_count(self) -> int:
        return sum(len(tables) for tables in self.files.values())

    @property
    def bytes(self) -> int:
        return sum(file.bytes for tables in self.files.values() for file in tables.values())

    @property
    def tables(self) -> list[str]:
        return sorted({table for tables in self.files.values() for table in tables} - {FILES_TABLE})


def plan(lake: Lake, least_loads: int = LEAST_LOADS, most_bytes: int = MOST_BYTES) -> list[Group]:
    """What would be merged. Errors: StorageError where raw files are not as they were landed."""
    if audit(lake):
        raise StorageError("raw files are not as they were landed: run `foreshore repair`, then compact")
    files = files_by_load(lake)
    by_source: dict[str, list[dict[str, Any]]] = {}
    for record in lake.commit_records():
        by_source.setdefault(record["schema_name"], []).append(record)
    return [
        group
        for source, records in by_source.items()
        for group in _groups(lake, source, records, files, most_bytes)
        if len(group.records) >= least_loads
    ]


def files_by_load(lake: Lake) -> dict[str, dict[str, Stored]]:
    """Landed files by load and table."""
    found: dict[str, dict[str, Stored]] = {}
    for file in lake.files():
        if file.name.endswith(".parquet") and load_id_of(file.name) != NO_LOAD:
            found.setdefault(load_id_of(file.name), {})[PurePosixPath(file.name).parent.name] = file
    return found


def compact(lake: Lake, groups: Sequence[Group]) -> list[str]:
    """Merge each group into one load; returns their ids. Call it while holding the lock; kill it anywhere."""
    merged = [merge(lake, group) for group in groups]
    lake.sweep()
    return merged


def _groups(
    lake: Lake, source: str, records: Sequence[dict[str, Any]], files: dict[str, dict[str, Stored]], most_bytes: int
) -> Iterator[Group]:
    """Runs of neighbours, each as long as no partition comes twice and the limit of bytes allows."""
    run: list[dict[str, Any]] = []
    taken: set[str] = set()
    size = 0
    for record in records:
        mine = files.get(record["load_id"], {})
        weight = sum(file.bytes for file in mine.values())
        names = _partitions(lake, mine)
        if run and (names is None or taken & names or size + weight > most_bytes):
            yield _group(source, run, files)
            run, taken, size = [], set(), 0
        if names is None:  # a table without partitions: its load stays as it is
            continue
        run.append(record)
        taken |= names
        size += weight
    if run:
        yield _group(source, run, files)


def _group(source: str, run: list[dict[str, Any]], files: dict[str, dict[str, Stored]]) -> Group:
    return Group(source, tuple(run), {record["load_id"]: files.get(record["load_id"], {}) for record in run})


def _partitions(lake: Lake, files: dict[str, Stored]) -> set[str] | None:
    """Partitions that a load has rows or a complete ledger row of; None where its rows have none."""
    found: set[str] = set()
    for table, file in files.items():
        if table == FILES_TABLE:
            continue
        with lake.open(file.name) as handle:
            parquet = pq.ParquetFile(handle)
            if "partition_id" not in parquet.schema_arrow.names:
                return None
            columns = ["partition_id", "status"] if table == LEDGER_TABLE else ["partition_id"]
            rows = parquet.read(columns=columns)
        names = rows.column("partition_id").to_pylist()
        if table == LEDGER_TABLE:
            told = zip(names, rows.column("status").to_pylist(), strict=True)
            names = [name for name, status in told if status == COMPLETE]
        found.update(names)
    return found


def merge(lake: Lake, group: Group, is_kept: Callable[[str, str], bool] | None = None) -> str:
    """Write the merged files, then the one record that makes them count and the old ones not; returns the load's id.

    `is_kept` says of a table and a partition whether its rows stay; ledger rows always do.
    """
    load_id = f"{time.time():.7f}"
    with work_folder() as folder:
        written = {table: _write(lake, group, table, folder / f"{table}.parquet", is_kept) for table in group.tables}
        listing = [
            {"table_name": table, "rows": rows, "bytes": path.stat().st_size, "sha256": _sha256(path)}
            for table, (path, rows) in written.items()
        ]
        files = folder / f"{FILES_TABLE}.parquet"
        pq.write_table(pa.Table.from_pylist(listing, schema=FILES_SCHEMA), files, compression="zstd")
        for table, path in [*((table, path) for table, (path, _) in written.items()), (FILES_TABLE, files)]:
            lake.fs.put_file(str(path), lake.join(table, f"{load_id}.compact.parquet"))
    record = {
        "load_id": load_id,
        "schema_name": group.source,
        "status": 0,
        "inserted_at": group.records[-1]["inserted_at"],
        "replaces": [name for one in group.records for name in (*one.get("replaces", ()), one["load_id"])],
        "carried": [line for one in group.records for line in _carried(lake, group, one)],
    }
    lake.fs.pipe_file(lake.join("_dlt_loads", f"{group.source}__{load_id}.jsonl"), (json.dumps(record) + "\n").encode())
    return load_id


def _carried(lake: Lake, group: Group, record: dict[str, Any]) -> list[dict[str, Any]]:
    """What stays known of a merged load: its commit, and the hash of the list of its files with their hashes."""
    if record.get("carried"):
        return list(record["carried"])
    listing = group.files[record["load_id"]].get(FILES_TABLE)
    assert listing is not None, "the audit saw its list of files"
    with lake.open(listing.name) as handle:
        told = hashlib.sha256(handle.read()).hexdigest()
    return [{"load_id": record["load_id"], "inserted_at": record["inserted_at"], "files_sha256": told}]


def _write(
    lake: Lake, group: Group, table: str, target: Path, is_kept: Callable[[str, str], bool] | None
) -> tuple[Path, int]:
    """One table's rows of all loads, in order of commit, a load at a time; and how many they are."""
    schema = pa.unify_schemas([_schema(lake, tables[table]) for tables in group.files.values() if table in tables])
    if table == LEDGER_TABLE:
        schema = LEDGER_SCHEMA
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for record in group.records:
            if (file := group.files[record["load_id"]].get(table)) is None:
                continue
            with lake.open(file.name) as handle:
                part = pq.ParquetFile(handle).read()
            if table == LEDGER_TABLE:
                part = _with_commit(part, record["inserted_at"])
            elif is_kept is not None:
                stays = [is_kept(table, name) for name in part["partition_id"].to_pylist()]
                part = part.filter(pa.array(stays, pa.bool_()))
            writer.write_table(_in(part, schema))
            rows += part.num_rows
    return target, rows


def _schema(lake: Lake, file: Stored) -> pa.Schema:
    with lake.open(file.name) as handle:
        return pq.read_schema(handle).remove_metadata()


def _with_commit(rows: pa.Table, inserted_at: str) -> pa.Table:
    """Ledger rows that say when they were committed; those of an earlier compaction say it already."""
    kind = LEDGER_SCHEMA.field("committed_at").type
    moment = pa.scalar(datetime.fromisoformat(inserted_at), kind)
    told = rows["committed_at"] if "committed_at" in rows.column_names else pa.nulls(rows.num_rows, kind)
    kept = rows.drop_columns("committed_at") if "committed_at" in rows.column_names else rows
    return kept.append_column("committed_at", pc.fill_null(told, moment))


def _in(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
