"""Rows that no table is built from any more, and the loads they leave.

What may go is said wing by wing. Markets: the pages that answers came on (their fields stand in tables of their own).
Voting and lending: rows of a partition that a newer load holds complete, and of attempts that failed. Bars: nothing,
because what was served before a correction is what `bar_revision_effects` is made of. Ledger rows always stay.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyarrow.parquet as pq

from extract.compact import Group, files_by_load, merge
from extract.errors import StorageError
from extract.integrity import audit
from extract.lake import FILES_TABLE, Lake
from extract.ledger import LEDGER_TABLE, Ledger
from extract.mirror import Stored

RAW_PAGES = {"markets": frozenset({"polymarket_pages"})}
SUPERSEDED = frozenset({"voting", "lending"})
WINGS = ("voting", "lending", "markets")


@dataclass(frozen=True)
class Going:
    """Rows of one table in one load that would go, and the bytes of the file they stand in."""

    wing: str
    load_id: str
    table: str
    rows: int
    of_rows: int
    bytes: int


def plan(lake: Lake, before: datetime, wings: Collection[str] = WINGS) -> list[Going]:
    """What loads committed before a moment (UTC) hold and nobody reads, oldest load first.

    Errors: StorageError where raw files are not as they were landed.
    """
    if audit(lake):
        raise StorageError("raw files are not as they were landed: run `foreshore repair`, then prune")
    files, current = files_by_load(lake), _current(lake)
    old = [r for r in lake.commit_records() if datetime.fromisoformat(r["inserted_at"]) < before]
    return [
        going
        for record in old
        if record["schema_name"] in wings
        for table, file in sorted(files.get(record["load_id"], {}).items())
        if (going := _going(lake, record["schema_name"], record["load_id"], table, file, current)) and going.rows
    ]


def prune(lake: Lake, going: Sequence[Going]) -> list[str]:
    """Write what stays of each load in its place; returns the new loads. Hold the lock; kill it anywhere."""
    files, current = files_by_load(lake), _current(lake)
    wings = {one.load_id: one.wing for one in going}
    made = []
    for record in lake.commit_records():
        load = record["load_id"]
        if load in wings:
            group = Group(wings[load], (record,), {load: files[load]})
            made.append(merge(lake, group, partial(_stays, wings[load], load, current)))
    lake.sweep()
    return made


def _current(lake: Lake) -> dict[str, str]:
    """The load that holds each partition complete and newest."""
    states = Ledger.read(lake).states
    return {name: str(state.complete["load_id"]) for name, state in states.items() if state.complete}


def _stays(wing: str, load: str, current: dict[str, str], table: str, partition: str) -> bool:
    if wing in RAW_PAGES:
        return table not in RAW_PAGES[wing]
    return wing not in SUPERSEDED or current.get(partition) == load


def _going(lake: Lake, wing: str, load: str, table: str, file: Stored, current: dict[str, str]) -> Going | None:
    if table in (LEDGER_TABLE, FILES_TABLE):
        return None
    if wing in RAW_PAGES and table not in RAW_PAGES[wing]:
        return None
    with lake.open(file.name) as handle:
        names = pq.ParquetFile(handle).read(columns=["partition_id"]).column(0).to_pylist()
    goes = sum(not _stays(wing, load, current, table, name) for name in names)
    return Going(wing, load, table, goes, len(names), file.bytes)
