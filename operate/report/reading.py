"""Rows for pages, all from one publication; a table that is not published is noted, not an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from operate.warehouse import Warehouse, open_published


class Reader:
    """Asks one publication; `lacking` names the tables that pages asked for and nobody has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.lacking: set[str] = set()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows by column; none where a table of the query is not published."""
        try:
            found = self._connection.execute(sql)
        except duckdb.CatalogException as error:
            self.lacking.add(str(error).split("name ")[-1].split(" ")[0])
            return []
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@contextmanager
def reading(warehouse: Warehouse) -> Iterator[Reader]:
    """A reader of the present publication. Errors: WarehouseError where nothing is published."""
    with open_published(warehouse) as connection:
        yield Reader(connection)
