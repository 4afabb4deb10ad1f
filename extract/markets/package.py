"""Land a load package of this line. It holds the lake only while it lands, and waits a while for others to let go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import pyarrow as pa

from extract.errors import Busy
from extract.integrity import prepare
from extract.lake import Lake
from extract.land import land
from extract.ledger import LEDGER_TABLE, LedgerRow, ledger_table
from extract.markets.tables import POLYMARKET_TABLES

SOURCE = "markets"
_LOOK_AGAIN_SECONDS = 0.5


async def commit(lake: Lake, tables: Mapping[str, pa.Table], rows: Sequence[LedgerRow], wait_seconds: float) -> str:
    """Land rows with their ledger rows; the load id. Errors: Busy when another extraction keeps the lake."""
    return await asyncio.to_thread(_commit, lake, {**tables, LEDGER_TABLE: ledger_table(rows)}, wait_seconds)


def _commit(lake: Lake, tables: Mapping[str, pa.Table], wait_seconds: float) -> str:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            with lake.lock():
                prepare(lake, POLYMARKET_TABLES)
                return land(lake, SOURCE, tables)
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_AGAIN_SECONDS)
