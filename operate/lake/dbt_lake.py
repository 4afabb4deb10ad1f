"""dbt's door to the lake."""

from __future__ import annotations

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from operate.lake.catalog import load


class Plugin(BasePlugin):
    """Named in profiles.yml, first: the lake is attached with what it loads."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        load(conn)
