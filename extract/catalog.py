"""Every raw table of every source: what the lake declares, so that a build finds columns before any row has landed."""

from __future__ import annotations

from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE
from extract.polymarket.tables import POLYMARKET_TABLES
from extract.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE
from extract.voting.tables import VOTING_TABLES

RAW_TABLES = {LEDGER_TABLE: LEDGER_SCHEMA, SUBMITTED_TABLE: SUBMITTED_SCHEMA, **VOTING_TABLES, **POLYMARKET_TABLES}
