"""What a voter says to have submitted: the one raw table that comes from people, not from a chain.

Votes that reached the chain are known from its events; a submission that is recorded here counts as the last
allocation until the chain shows a later vote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import pyarrow as pa

from extract.errors import RequestError
from extract.lake import Lake
from extract.land import land_alone
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, fingerprint, ledger_table, now
from extract.seeds import WEEK

LAST_EPOCH = 253_370_764_800 // WEEK * WEEK  # the year 9999: later ones are no dates
MOST = 2**256
MAX_DIGITS = 80  # digits of 2^256, and a few
SUBMITTED_TABLE = "submitted_votes"
OUTCOMES = ("landed", "reverted", "not_sent")
_UTC = pa.timestamp("us", "UTC")
SUBMITTED_SCHEMA = pa.schema(
    [
        pa.field("partition_id", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("voter_id", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("gauge_address", pa.string(), nullable=False),
        pa.field("votes_raw", pa.string(), nullable=False),
        pa.field("transaction_hash", pa.string()),
        pa.field("outcome", pa.string()),
        pa.field("submitted_at", _UTC, nullable=False),
        pa.field("recorded_at", _UTC, nullable=False),
    ]
)


@dataclass(frozen=True)
class Submission:
    """One submitted vote: the whole vector, as the voter contract replaces the whole vector."""

    protocol: str
    voter_id: str
    epoch: int  # unix seconds
    submitted_at: datetime  # UTC
    votes_raw: Mapping[str, int]  # gauge address -> votes, integers as on the chain
    transaction_hash: str | None = None
    outcome: str | None = None  # one of OUTCOMES; None: seen in the contract when the epoch has ended

    @property
    def partition(self) -> Partition:
        moment = f"{self.submitted_at:%Y-%m-%dT%H:%M:%SZ}"
        return Partition("decisions", "submitted", f"{self.protocol}/{self.voter_id}/{self.epoch}", moment)


def parse_submission(document: Any, votes_decimals: int) -> Submission:
    """A submission from its JSON form; RequestError names the field that is wrong and what it should be.

    Form: {"protocol", "voter_id", "epoch", "submitted_at", "allocation": {gauge: votes}, and if known
    "transaction_hash", "outcome"}.
    A saved recommendation has it too, except for `submitted_at`.
    """
    if not isinstance(document, Mapping):
        raise RequestError("a submission is a JSON object with protocol, voter_id, epoch, submitted_at, allocation")
    missing = [k for k in ("protocol", "voter_id", "epoch", "submitted_at", "allocation") if k not in document]
    if missing:
        raise RequestError(f"the submission lacks {', '.join(missing)}")
    epoch = document["epoch"]
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch <= 0 or epoch % WEEK or epoch > LAST_EPOCH:
        raise RequestError(f"epoch = {epoch!r} is not an epoch: a multiple of {WEEK} (Thursday 00:00 UTC) in seconds")
    allocation = document["allocation"]
    if not isinstance(allocation, Mapping) or not allocation:
        raise RequestError('allocation must be an object of gauge address to votes, e.g. {"0x...": 50000}')
    votes: dict[str, int] = {}
    for gauge, amount in allocation.items():
        address = _address(gauge)
        if address in votes:
            raise RequestError(f"allocation names {address} twice (addresses are compared in lower case)")
        votes[address] = _raw(address, amount, votes_decimals)
    return Submission(
        protocol=_text(document, "protocol"),
        voter_id=_text(document, "voter_id").lower(),
        epoch=epoch,
        submitted_at=_moment(document["submitted_at"]),
        votes_raw=votes,
        transaction_hash=_transaction(document.get("transaction_hash")),
        outcome=_outcome(document.get("outcome")),
    )


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document[field]
    if not isinstance(value, str) or not value.strip() or "/" in value:
        raise RequestError(f"{field} = {value!r}: use its name as the warehouse has it, e.g. from a recommendation")
    return value.strip()


def _outcome(value: Any) -> str | None:
    if value is None or value in OUTCOMES:  # a recommendation's own outcome ("ok") says nothing about landing
        return value if value is None else str(value)
    if value == "ok":
        return None
    raise RequestError(f"outcome = {value!r}: use {', '.join(OUTCOMES)}, or leave it out")


def _transaction(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value).lower()
    if re.fullmatch(r"0x[0-9a-f]{64}", text) is None:
        raise RequestError(f"transaction_hash = {value!r} is not a 32-byte hex hash; leave it out if there is none")
    return text


def _address(text: Any) -> str:
    address = str(text).lower()
    if len(address) != 42 or not address.startswith("0x") or any(c not in "0123456789abcdef" for c in address[2:]):
        raise RequestError(f"allocation: {text!r} is not a 20-byte hex address")
    return address


def _raw(gauge: str, amount: Any, decimals: int) -> int:
    try:
        votes = Decimal(str(amount))
    except InvalidOperation:
        votes = Decimal("NaN")
    if isinstance(amount, bool) or not votes.is_finite() or votes < 0:
        raise RequestError(f"allocation: {gauge} has {amount!r} votes; it must be a number of votes, 0 or more")
    with localcontext(prec=MAX_DIGITS * 2):  # the default of 28 digits would round what a chain holds exactly
        raw = votes.scaleb(decimals) if votes.adjusted() < MAX_DIGITS else votes
        if raw >= MOST:
            raise RequestError(f"allocation: {gauge} has {amount!r} votes; a chain counts to 2^256 at most")
        return int(raw)


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise RequestError(f"submitted_at = {text!r}: use an ISO time with its zone, e.g. 2026-02-25T23:54:10Z")


def submission_rows(submission: Submission, run_id: str) -> tuple[pa.Table, LedgerRow]:
    """A submission as raw rows (SUBMITTED_SCHEMA) and the ledger row of its partition."""
    recorded_at = now()
    partition = submission.partition
    rows = [
        {
            "partition_id": partition.partition_id,
            "protocol": submission.protocol,
            "voter_id": submission.voter_id,
            "epoch": submission.epoch,
            "gauge_address": gauge,
            "votes_raw": str(raw),
            "transaction_hash": submission.transaction_hash,
            "outcome": submission.outcome,
            "submitted_at": submission.submitted_at,
            "recorded_at": recorded_at,
        }
        for gauge, raw in submission.votes_raw.items()
    ]
    table = pa.Table.from_pylist(rows, schema=SUBMITTED_SCHEMA)
    ledger = LedgerRow(
        partition=partition,
        status=COMPLETE,
        fingerprint=fingerprint({"votes": sorted(submission.votes_raw.items()), "outcome": submission.outcome}),
        run_id=run_id,
        started_at=recorded_at,
        finished_at=now(),
        rows=len(rows),
        bytes=table.nbytes,
        provider="file",
    )
    return table, ledger


def record_submission(lake: Lake, submission: Submission, run_id: str) -> int:
    """Land a submission with its ledger row; returns the rows. Recording the same one again replaces it."""
    table, ledger = submission_rows(submission, run_id)
    tables = {SUBMITTED_TABLE: table, LEDGER_TABLE: ledger_table([ledger])}
    land_alone(lake, "decisions", {SUBMITTED_TABLE: SUBMITTED_SCHEMA}, tables)
    return int(table.num_rows)
