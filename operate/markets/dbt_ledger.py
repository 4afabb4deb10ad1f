"""dbt's door to the run ledger: a database `ledger`, read-only, in every dbt command.

The embedded file is attached as it is. A PostgreSQL ledger is copied into a file beside it first (only what changed),
because DuckDB's postgres extension is not to be had offline. Where no ledger is yet, an empty one stands in.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from operate.markets.engines import DuckDbEngine, LedgerError
from operate.markets.migrating import MIGRATIONS, statements
from operate.markets.mirror import refresh
from operate.markets.settings import LEDGER_URL
from operate.markets.store import Store

FRESH_SECONDS = 60.0  # one dbt command opens several connections; one copy is enough for it
MIGRATION_PATIENCE = 5.0  # seconds
_copied: dict[str, float] = {}


class LedgerNotReadable(RuntimeError):
    """dbt shows the message of a RuntimeError as it is."""


class Plugin(BasePlugin):
    """Named in profiles.yml."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self.file = ledger_file(plugin_config.get("raw", ""), plugin_config.get("file", ""))

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        attach(conn, self.file, os.environ.get(LEDGER_URL))


def ledger_file(raw_url: str, named: str) -> Path:
    """The file that is named, else `ledger/markets.duckdb` beside the raw zone."""
    if named:
        return Path(named)
    beside = Path(raw_url).parent if raw_url and "://" not in raw_url else Path("data")
    return beside / "ledger" / "markets.duckdb"


def attach(connection: duckdb.DuckDBPyConnection, file: Path, url: str | None) -> None:
    """Make `ledger` readable on this connection. Errors: LedgerNotReadable says who has it and what to do."""
    if url:
        file = file.with_suffix(".mirror.duckdb")
        try:
            if time.monotonic() - _copied.get(str(file), -FRESH_SECONDS) >= FRESH_SECONDS:
                refresh(url, file)
                _copied[str(file)] = time.monotonic()
        except LedgerError as error:
            raise LedgerNotReadable(f"{error} (unset {LEDGER_URL} to build without it)") from None
    if not file.exists():
        _attach_empty(connection)
        return
    try:
        _bring_up_to_date(file)
        connection.execute(f"attach '{file}' as ledger (read_only)")
    except (duckdb.Error, LedgerError) as error:
        why = (
            "was made for a newer DuckDB than this one: docs/scale.md says how it is copied"
            if "newer version of DuckDB" in str(error)
            else "is being written by another process (foreshore markets?): wait for it and build again"
        )
        raise LedgerNotReadable(f"the run ledger {file} {why}. {error}") from None


def _attach_empty(connection: duckdb.DuckDBPyConnection) -> None:
    """A ledger without a run, in memory."""
    connection.execute("attach ':memory:' as ledger")
    [before] = connection.execute("select current_database() || '.' || current_schema()").fetchall()
    connection.execute("use ledger.main")
    for migration in sorted(MIGRATIONS.glob("*.sql")):
        for statement in statements(migration.read_text().replace("{json}", "json")):
            connection.execute(statement)
    connection.execute(f"use {before[0]}")


def _bring_up_to_date(file: Path) -> None:
    """Models read the columns of the newest migration, whatever version wrote the ledger last."""
    with duckdb.connect(str(file), read_only=True) as ledger:
        applied = {row[0] for row in ledger.execute("select name from ledger_migrations").fetchall()}
    if {path.stem for path in MIGRATIONS.glob("*.sql")} - applied:
        Store(DuckDbEngine(file, MIGRATION_PATIENCE)).migrate()
