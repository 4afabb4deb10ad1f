"""Every raw table of every wing, and the plugin that shows them to dbt, also where a wing has landed nothing yet.

A wing's extraction declares its own tables; a build reads the tables of all wings. Nothing else imports this module.
"""

from __future__ import annotations

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags

from extract.bars.pre_paper import PRE_PAPER_TABLES
from extract.bars.tables import BAR_TABLES
from extract.integrity import audit
from extract.lake import Lake
from extract.ledger import declare
from extract.lending.tables import LENDING_TABLES
from extract.markets.tables import POLYMARKET_TABLES
from extract.voting.nights import LIVE_SCHEMA, LIVE_TABLE
from extract.voting.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE
from extract.voting.tables import VOTING_TABLES

RAW_TABLES = {
    SUBMITTED_TABLE: SUBMITTED_SCHEMA,
    LIVE_TABLE: LIVE_SCHEMA,
    **VOTING_TABLES,
    **LENDING_TABLES,
    **BAR_TABLES,
    **PRE_PAPER_TABLES,
    **POLYMARKET_TABLES,
}


READING = {"build", "run", "test"}  # dbt's commands that read the raw zone


class RawZoneError(RuntimeError):
    """dbt shows the message of a RuntimeError as it is."""


class Plugin(BasePlugin):
    """Named in profiles.yml: before dbt reads, every raw table has its columns and every file is as it was landed."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        lake = Lake(plugin_config["raw"])
        if lake.has_landed():
            declare(lake, RAW_TABLES)
        if get_flags().WHICH in READING:
            check(lake)


def check(lake: Lake) -> None:
    """RawZoneError where nothing has landed yet, or where files are not as they were landed."""
    if not lake.has_landed():
        raise RawZoneError(
            f"nothing has been extracted to {lake.path} yet: run `foreshore extract all` first. "
            "What the embedded world landed has its own store: `foreshore build` finds it."
        )
    if damages := audit(lake):
        told = "\n".join(f"  {damage.spoken()}" for damage in damages)
        raise RawZoneError(
            f"raw files are not as they were landed:\n{told}\n"
            "Run `foreshore repair`: what no newer load holds is fetched again, the rest goes aside."
        )
