"""Every raw table of every wing, and the plugin that shows them to dbt, also where a wing has landed nothing yet.

A wing's extraction declares its own tables; a build reads the tables of all wings. Nothing else imports this module.
"""

from __future__ import annotations

from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from extract.bars.pre_paper import PRE_PAPER_TABLES
from extract.bars.tables import BAR_TABLES
from extract.land import Lake
from extract.ledger import declare
from extract.lending.tables import LENDING_TABLES
from extract.markets.tables import POLYMARKET_TABLES
from extract.voting.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE
from extract.voting.tables import VOTING_TABLES

RAW_TABLES = {
    SUBMITTED_TABLE: SUBMITTED_SCHEMA,
    **VOTING_TABLES,
    **LENDING_TABLES,
    **BAR_TABLES,
    **PRE_PAPER_TABLES,
    **POLYMARKET_TABLES,
}


class Plugin(BasePlugin):
    """Named in profiles.yml: every table of every wing has its columns before a dbt command reads."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        lake = Lake(plugin_config["raw"])
        if lake.has_landed():
            declare(lake, RAW_TABLES)
