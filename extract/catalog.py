"""Every raw table of every source: what the lake declares, so that a build finds columns before any row has landed."""

from __future__ import annotations

from extract.bars.tables import BAR_TABLES
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE
from extract.lending.tables import LENDING_TABLES
from extract.polymarket.tables import POLYMARKET_TABLES
from extract.pre_paper import PRE_PAPER_TABLES
from extract.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE
from extract.voting.tables import VOTING_TABLES

RAW_TABLES = {
    LEDGER_TABLE: LEDGER_SCHEMA,
    SUBMITTED_TABLE: SUBMITTED_SCHEMA,
    **VOTING_TABLES,
    **LENDING_TABLES,
    **BAR_TABLES,
    **PRE_PAPER_TABLES,
    **POLYMARKET_TABLES,
}
