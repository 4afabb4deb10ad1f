"""What is complete, what failed, what is next: the extract ledger.

A partition is the unit of work: (source, table group, key, window). Its ledger row travels in the same
load package as its rows, so the ledger never says more or less than what landed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from extract.errors import StorageError
from extract.lake import Lake

LEDGER_TABLE = "extract_ledger"
COMPLETE, FAILED = "complete", "failed"
SOURCES_DOWN = (
    "SourcesDown"  # error_class of a partition that landed while a source was down: the next run completes it
)
DAMAGED = "damaged"  # what was complete is not as it was landed: the partition counts as never fetched
_UTC = pa.timestamp("us", "UTC")
LEDGER_SCHEMA = pa.schema(
    [
        pa.field("partition_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("table_group", pa.string(), nullable=False),
        pa.field("partition_key", pa.string(), nullable=False),
        pa.field("partition_window", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("provider", pa.string()),
        pa.field("started_at", _UTC, nullable=False),
        pa.field("finished_at", _UTC, nullable=False),
        pa.field("error_class", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("chain_id", pa.int64()),
        pa.field("from_block", pa.int64()),
        pa.field("to_block", pa.int64()),
        pa.field("to_block_hash", pa.string()),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("committed_at", _UTC),  # said only where compaction moved the row to another load
    ]
)


def declare(lake: Lake, tables: Mapping[str, pa.Schema]) -> None:
    """Give the ledger and a wing's tables their columns before their first rows. Call it while holding the lock."""
    lake.declare({**tables, LEDGER_TABLE: LEDGER_SCHEMA})


@dataclass(frozen=True)
class Partition:
    """One unit of extraction work; `partition_id` is its stable name."""

    source: str
    table_group: str
    key: str
    window: str

    @property
    def partition_id(self) -> str:
        return "/".join((self.source, self.table_group, self.key, self.window))


def partition_of(partition_id: str) -> Partition:
    """The partition of a name. Errors: StorageError where it is none."""
    parts = partition_id.split("/")
    if len(parts) < 4:
        raise StorageError(f"{partition_id!r} is no partition: the ledger was edited")
    return Partition(parts[0], parts[1], "/".join(parts[2:-1]), parts[-1])


@dataclass(frozen=True)
class LedgerRow:
    """The outcome of one attempt at a partition (columns as LEDGER_SCHEMA; times in UTC)."""

    partition: Partition
    status: str
    fingerprint: str
    run_id: str
    started_at: datetime
    finished_at: datetime
    attempts: int = 1
    rows: int = 0
    calls: int = 0
    bytes: int = 0
    provider: str | None = None
    error_class: str | None = None
    error_message: str | None = None
    chain_id: int | None = None
    from_block: int | None = None
    to_block: int | None = None
    to_block_hash: str | None = None

    def as_row(self) -> dict[str, Any]:
        row = {k: v for k, v in asdict(self).items() if k != "partition"}
        return row | {
            "partition_id": self.partition.partition_id,
            "source": self.partition.source,
            "table_group": self.partition.table_group,
            "partition_key": self.partition.key,
            "partition_window": self.partition.window,
        }


def ledger_table(rows: Sequence[LedgerRow]) -> pa.Table:
    return pa.Table.from_pylist([row.as_row() for row in rows], schema=LEDGER_SCHEMA)


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A short hash of what a partition's content depends on besides the chain (configuration, code version)."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PartitionState:
    """The newest complete attempt of a partition and the newest attempt of any outcome."""

    complete: Mapping[str, Any] | None
    newest: Mapping[str, Any]
    was_damaged: bool = False  # and nothing has been complete since

    @property
    def attempts(self) -> int:
        return int(self.newest["attempts"])

    @property
    def is_failing(self) -> bool:
        return bool(self.newest["status"] != COMPLETE)


class Ledger:
    """The committed ledger at one moment."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.states: dict[str, PartitionState] = {}
        for row in rows:
            before = self.states.get(row["partition_id"])
            earlier = before.complete if before and row["status"] != DAMAGED else None
            good = row if row["status"] == COMPLETE else earlier
            lost = row["status"] == DAMAGED or bool(before and before.was_damaged and row["status"] != COMPLETE)
            self.states[row["partition_id"]] = PartitionState(complete=good, newest=row, was_damaged=lost)

    @classmethod
    def read(cls, lake: Lake, without: Collection[str] = ()) -> Ledger:
        """The ledger of a lake, `without` what some (damaged) loads say."""
        return cls(lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA, without).to_pylist())

    def state(self, partition: Partition) -> PartitionState | None:
        return self.states.get(partition.partition_id)

    def complete_row(self, partition: Partition, wanted: str) -> Mapping[str, Any] | None:
        """The committed row of a partition that is complete under the fingerprint `wanted`."""
        state = self.state(partition)
        if state is None or state.complete is None or state.complete["fingerprint"] != wanted:
            return None
        return state.complete

    def next_attempt(self, partition: Partition) -> int:
        state = self.state(partition)
        return state.attempts + 1 if state and state.is_failing else 1


def now() -> datetime:
    """The wall clock in UTC: when something was fetched, never what it is about."""
    return datetime.now(UTC)


def failed(row: LedgerRow, error: BaseException, message: str) -> LedgerRow:
    """The row of an attempt that ended in `error`; `message` is already free of secrets."""
    return replace(
        row, status=FAILED, finished_at=now(), error_class=type(error).__name__, error_message=message[:500], rows=0
    )
