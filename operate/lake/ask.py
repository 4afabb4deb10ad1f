"""Questions to what was published in the lake: now, or as it stood at a moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import duckdb

from operate.lake.catalog import PUBLICATIONS, LakeError, attached
from operate.shelf import moment_of


def ask(text: str, as_of: str | None = None) -> list[dict[str, Any]]:
    """The rows of a query on every unit as its newest publication left it, or the newest until a moment (UTC)."""
    until = moment_of(as_of) if as_of else datetime.now(UTC)
    with attached(read_only=True) as connection:
        found = published(connection, until)
        if not found:
            raise LakeError(f"nothing was published in the lake until {until:%Y-%m-%d %H:%M:%S} UTC")
        show(connection, found)
        answer = connection.execute(text)
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def published(connection: duckdb.DuckDBPyConnection, until: datetime) -> list[dict[str, Any]]:
    """The newest publication of each unit until a moment, the newest of all last."""
    try:
        answer = connection.execute(
            f"select unit, snapshot_id, tables, assembled from {PUBLICATIONS} where published_at <= ? "
            "qualify row_number() over (partition by unit order by snapshot_id desc) = 1 order by snapshot_id",
            [until],
        )
    except duckdb.CatalogException:  # built, and nothing passed yet
        return []
    return [dict(zip(("unit", "snapshot", "tables", "assembled"), row, strict=True)) for row in answer.fetchall()]


def show(connection: duckdb.DuckDBPyConnection, found: list[dict[str, Any]]) -> None:
    """A view over each table at its publication's snapshot, and those that stand over several units."""
    shown: set[str] = set()

    def view(name: str, rows: str) -> None:
        connection.execute(f"create schema if not exists {name.split('.')[0]}")
        connection.execute(f"create view {name} as {rows}")
        shown.add(name)

    for publication in found:
        for table in json.loads(publication["tables"]):
            view(table, f"from lake.{table} at (version => {publication['snapshot']})")
    for name, parts in json.loads(found[-1]["assembled"]).items():
        if rows := " union all by name ".join(f"from {part}" for part in parts if part in shown):
            view(name, rows)
