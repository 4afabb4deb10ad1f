"""A DuckDB copy of a PostgreSQL ledger, brought up to date by what was written since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from operate.markets.engines import DuckDbEngine, PostgresEngine, Rows, Run
from operate.markets.store import Store

TABLES = {  # table -> columns that are documents
    "processing_runs": ("experiments",),
    "processing_failures": (),
    "market_outcomes": (),
    "market_answers": (),
}


@dataclass(frozen=True)
class Growing:
    """A table of which only what was written since is copied: its document, its time of writing, its key."""

    table: str
    document: str
    written: str
    key: tuple[str, ...]


MARKETS = Growing("processed_markets", "payload", "written_at", ("run_id", "market_id"))
CALLS = Growing(
    "model_calls",
    "messages",
    "asked_at",
    ("run_id", "market_id", "experiment", "experiment_version", "sample", "attempt"),
)
OVERLAP = timedelta(hours=1)  # clocks of two writers may differ; rows written twice replace each other
ROWS_AT_ONCE = 500


def refresh(url: str, file: Path, patience: float = 10.0) -> int:
    """Copy new and changed rows; returns how many markets came. Errors: LedgerError (no database, a lock)."""
    source, target = PostgresEngine(url, patience, read_only=True), DuckDbEngine(file, patience)
    Store(target).migrate()
    try:
        if not Store(source).is_migrated():
            return 0
        for table, documents in TABLES.items():
            _replace_all(source, target, table, documents)
        _add_new(source, target, CALLS)
        return _add_new(source, target, MARKETS)
    finally:
        source.close()


def _columns(target: DuckDbEngine, table: str) -> list[str]:
    sql = "select column_name from information_schema.columns where table_name = ? order by ordinal_position"
    return [row[0] for row in target.transaction(lambda run: run(sql, (table,)))]


def _replace_all(source: PostgresEngine, target: DuckDbEngine, table: str, documents: tuple[str, ...]) -> None:
    columns = _columns(target, table)
    asked = ", ".join(f"{name}::text" if name in documents else name for name in columns)
    rows = source.transaction(lambda run: run(f"select {asked} from {table}"))

    def work(run: Run) -> None:
        run(f"delete from {table}")
        _insert(run, "insert", table, columns, rows)

    target.transaction(work)


def _add_new(source: PostgresEngine, target: DuckDbEngine, grown: Growing) -> int:
    """Rows written since the newest copied one (and an hour before); returns how many came."""
    newest = target.transaction(lambda run: run(f"select max({grown.written}) from {grown.table}"))[0][0]
    since = (newest or datetime(1970, 1, 1, tzinfo=UTC)) - OVERLAP
    columns, key = _columns(target, grown.table), ", ".join(grown.key)
    asked = ", ".join(f"{name}::text" if name == grown.document else name for name in columns)
    count, rows = 0, [()]
    place: tuple[object, ...] = ()
    while rows:
        after = f"and ({key}) > ({', '.join('?' * len(place))})" if place else ""
        sql = (
            f"select {asked} from {grown.table} where {grown.written} >= ? {after} order by {key} limit {ROWS_AT_ONCE}"
        )
        rows = source.transaction(lambda run, sql=sql, place=place: run(sql, (since, *place)))  # type: ignore[misc]
        if rows:
            target.transaction(lambda run, rows=rows: _insert(run, "insert or replace", grown.table, columns, rows))  # type: ignore[misc]
            place = tuple(rows[-1][columns.index(name)] for name in grown.key)
        count += len(rows)
    return count


def _insert(run: Run, verb: str, table: str, columns: list[str], rows: Rows) -> None:
    if not rows:
        return
    # one document of rows per statement: row by row DuckDB takes 100 a second
    text = json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str)
    kinds = dict(run("select column_name, data_type from information_schema.columns where table_name = ?", (table,)))
    structure = json.dumps([{name: "VARCHAR" if kinds[name] == "JSON" else kinds[name] for name in columns}])
    picked = ", ".join(f"cast(r.{name} as {kinds[name]})" for name in columns)
    run(
        f"{verb} into {table} ({', '.join(columns)}) "
        f"select {picked} from (select unnest(from_json_strict(cast(? as json), ?)) as r)",
        (text, structure),
    )
