"""What pre-paper said, as raw tables: its signals, and its decision at every bar close. Landed from a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from extract.errors import RequestError
from extract.lake import Lake
from extract.land import land_alone
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, fingerprint, ledger_table, now

_UTC = pa.timestamp("us", "UTC")


def _required(names: str, kind: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name in names.split()]


def _optional(names: str, kind: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names.split()]


_RUN = [
    *_required("partition_id run_id promotion_sha256 rules_hash strategy_key impl_version feed", pa.string()),
    *_required("timeframe_minutes", pa.int64()),
    *_required("is_replay", pa.bool_()),
    *_required("symbol", pa.string()),
]
SIGNALS = pa.schema(
    [
        *_RUN,
        *_optional("mother_at inside_at", _UTC),
        *_required("trigger_at signal_at", _UTC),
        *_required("side", pa.string()),
        *_required("entry_price stop_price take_profit_price", pa.float64()),
        *_optional("mother_high mother_low", pa.float64()),
        *_required("valid_from valid_to", _UTC),
        pa.field("reason", pa.string()),
        *_required("said_at", _UTC),
    ]
)
CHECKS = pa.schema(
    [
        *_RUN,
        *_required("close_at", _UTC),
        *_required("decision status", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("required_bars", pa.int64()),
        pa.field("present_bars", pa.int64()),
        *_required("said_at", _UTC),
    ]
)
RUNS = pa.schema(
    [
        *_required("partition_id run_id rules_hash strategy_key impl_version feed symbols", pa.string()),
        pa.field("params", pa.string()),
        *_required("landed_at", _UTC),
    ]
)
REVISIONS = pa.schema(
    [
        *_required("partition_id run_id feed symbol outcome old_source new_source", pa.string()),
        *_required("bar_at revised_at", _UTC),
        *_optional("old_open old_high old_low old_close new_open new_high new_low new_close", pa.float64()),
    ]
)
PRE_PAPER_TABLES = {
    "pre_paper_signals": SIGNALS,
    "pre_paper_checks": CHECKS,
    "pre_paper_runs": RUNS,
    "pre_paper_revisions": REVISIONS,
}
Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunLines:
    """What a run's folder holds. `params`: the rules, execution and gates it ran with, None where it does not say."""

    signals: Lines
    checks: Lines
    revisions: Lines
    symbols: tuple[str, ...]
    params: Mapping[str, Any] | None

    @property
    def fingerprint(self) -> str:
        """It changes when the run goes on."""
        told = {"signals": list(self.signals), "checks": list(self.checks), "revisions": list(self.revisions)}
        return fingerprint({**told, "symbols": list(self.symbols), "params": self.params})


def land_pre_paper(lake: Lake, run: Mapping[str, Any], lines: RunLines) -> int:
    """Land a run's lines with its ledger row; returns the rows. Landing it again replaces what was landed before.

    `run`: the facts that stand in every row. RequestError where a line lacks a field.
    """
    partition, started = partition_of(run), now()
    shared = {**run, "partition_id": partition.partition_id}
    renamed = {"close_at": "close", "required_bars": "required", "present_bars": "present"}
    params = None if lines.params is None else json.dumps(lines.params, sort_keys=True)
    told = {**shared, "symbols": ",".join(lines.symbols), "params": params, "landed_at": started.isoformat()}
    try:
        tables = {
            "pre_paper_signals": _table(SIGNALS, [{**shared, **row} for row in lines.signals], {}),
            "pre_paper_checks": _table(CHECKS, [{**shared, **row} for row in lines.checks], renamed),
            "pre_paper_runs": _table(RUNS, [told], {}),
            "pre_paper_revisions": _table(REVISIONS, [{**shared, **row} for row in lines.revisions], {}),
        }
    except (KeyError, ValueError, TypeError, pa.ArrowInvalid) as error:
        raise RequestError(
            f"run {run.get('run_id')} cannot be landed: its lines are not as written ({error})"
        ) from None
    ledger = LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint=lines.fingerprint,
        run_id=str(run["run_id"]),
        started_at=started,
        finished_at=now(),
        rows=len(lines.signals) + len(lines.checks),
        bytes=sum(table.nbytes for table in tables.values()),
        provider="pre_paper",
    )
    land_alone(lake, "pre_paper", PRE_PAPER_TABLES, {**tables, LEDGER_TABLE: ledger_table([ledger])})
    return ledger.rows


def partition_of(run: Mapping[str, Any]) -> Partition:
    """A run is a partition."""
    return Partition("pre_paper", "run", str(run["run_id"]), "session")


def _table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]], renamed: Mapping[str, str]) -> pa.Table:
    columns = {}
    for field in schema:
        name = renamed.get(field.name, field.name)
        values = [row.get(name) if field.nullable else row[name] for row in rows]
        if field.type == _UTC:
            values = [None if v is None else datetime.fromisoformat(str(v)).astimezone(UTC) for v in values]
        columns[field.name] = pa.array([value if value != "" else None for value in values], field.type)
    return pa.table(columns, schema=schema)
