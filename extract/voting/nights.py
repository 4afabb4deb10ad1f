"""What was decided live at a decision window, on a head that may still be taken back: provisional, with block hashes.

After finality the warehouse reads the same window for itself; the mart `decision_parity` holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from extract.lake import Lake
from extract.land import land_alone
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, fingerprint, ledger_table, now

LIVE_TABLE = "live_decisions"
_UTC = pa.timestamp("us", "UTC")
LIVE_SCHEMA = pa.schema(
    [
        pa.field("partition_id", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("voter_id", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("decision_window", pa.string(), nullable=False),
        pa.field("decision_block", pa.int64(), nullable=False),
        pa.field("decision_block_hash", pa.string(), nullable=False),
        pa.field("decision_at", _UTC, nullable=False),
        pa.field("confirmation", pa.string(), nullable=False),
        pa.field("provider", pa.string(), nullable=False),
        pa.field("votes_signature", pa.string()),
        pa.field("rewards_signature", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("expected_usd", pa.float64()),
        pa.field("standing_usd", pa.float64()),
        pa.field("votes", pa.string(), nullable=False),
        pa.field("blocks_behind", pa.int64(), nullable=False),
        pa.field("read_seconds", pa.float64(), nullable=False),
        pa.field("decide_seconds", pa.float64(), nullable=False),
        pa.field("decided_at", _UTC, nullable=False),
    ]
)


@dataclass(frozen=True)
class LiveDecision:
    """One voter's decision at one window. `votes` is `gauge:votes` of every gauge voted for, sorted, joined by commas.

    `blocks_behind`: how much newer the head was when it was decided, 0 where it was decided at its own block.
    """

    protocol: str
    voter_id: str
    epoch: int
    decision_window: str
    decision_block: int
    decision_block_hash: str
    decision_at: datetime
    confirmation: str
    provider: str
    votes_signature: str | None
    rewards_signature: str | None
    outcome: str
    action: str
    expected_usd: float | None
    standing_usd: float | None
    votes: str
    blocks_behind: int
    read_seconds: float
    decide_seconds: float
    decided_at: datetime

    @property
    def partition(self) -> Partition:
        key = f"{self.protocol}/{self.voter_id}/{self.epoch}"
        return Partition("nights", "live", key, self.decision_window)


def land_decisions(lake: Lake, decisions: Sequence[LiveDecision], run_id: str) -> int:
    """Land decisions with their ledger rows, replacing earlier ones of the same window; returns the rows.

    Errors: Busy while another process lands, StorageError.
    """
    moment = now()
    rows = [{**vars(one), "partition_id": one.partition.partition_id} for one in decisions]
    table = pa.Table.from_pylist(rows, schema=LIVE_SCHEMA)
    ledger = [
        LedgerRow(
            partition=one.partition,
            status=COMPLETE,
            fingerprint=fingerprint({"block": one.decision_block_hash, "votes": one.votes}),
            run_id=run_id,
            started_at=moment,
            finished_at=now(),
            rows=1,
            provider=one.provider,
        )
        for one in decisions
    ]
    tables = {LIVE_TABLE: table, LEDGER_TABLE: ledger_table(ledger)}
    land_alone(lake, "nights", {LIVE_TABLE: LIVE_SCHEMA}, tables)
    return len(rows)
