"""Liquidations of a day: one scan of a chain for all its CSUs, decoded by each family, amounts in raw units.

A day without any is a complete day: the ledger row of its partition says which blocks were scanned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.evm.abi import Event
from extract.evm.calls import Call
from extract.evm.client import ChainClient
from extract.evm.proof import UNCONFIRMED
from extract.evm.views import word
from extract.lending.families import FAMILIES
from extract.lending.families.base import At, EventRule, Legs
from extract.lending.snapshot import Snapshot, Token, read_tokens
from extract.lending.tables import LIQUIDATIONS


@dataclass(frozen=True)
class Liquidation:
    """One decoded log of a CSU. `collateral` is in units of the asset behind the seized token."""

    log: Mapping[str, Any]
    kind: str
    status: str
    legs: Legs
    collateral: int | None = None
    confirmation: str = UNCONFIRMED  # how the range that its log came with was confirmed

    @property
    def block(self) -> int:
        return int(self.log["block_number"])

    def assets(self) -> set[str]:
        """What needs a price."""
        return {a for a in (self.legs.debt_asset, self.legs.collateral_asset) if a}


@dataclass(frozen=True)
class Scan:
    """The liquidations found by CSU, the requests it took, and who answered."""

    found: dict[str, list[Liquidation]]
    requests: int
    provider: str | None


async def scan(client: ChainClient, snapshots: Sequence[Snapshot], first: int, last: int) -> Scan:
    """Scan first..last (both included) once for every CSU that has contracts which may log."""
    watched = [s for s in snapshots if s.state.emitters]
    found: dict[str, list[Liquidation]] = {s.csu.csu_id: [] for s in snapshots}
    if not watched or first > last:
        return Scan(found, 0, None)
    addresses = sorted({a for s in watched for a in s.state.emitters})
    topics = sorted({Event(r.signature).topic0 for s in watched for r in FAMILIES[s.csu.family].events})
    requests, provider = 0, None
    async for chunk in client.logs(addresses, [topics], first, last):
        requests, provider = requests + 1, chunk.provider
        for snapshot in watched:
            mine = decode(chunk.table, snapshot)
            found[snapshot.csu.csu_id] += [replace(one, confirmation=chunk.confirmation) for one in mine]
    for snapshot in watched:
        mine = found[snapshot.csu.csu_id]
        mine.sort(key=lambda one: (one.block, one.log["log_index"]))
        found[snapshot.csu.csu_id] = await _unwrap(client, mine)
    return Scan(found, requests, provider)


def decode(logs: pa.Table, snapshot: Snapshot) -> list[Liquidation]:
    """The liquidations of a CSU in logs (LOG_SCHEMA). A log that does not decode is kept with its status."""
    family, emitters = FAMILIES[snapshot.csu.family], snapshot.state.emitters
    own = logs.filter(pc.is_in(logs["address"], pa.array(list(emitters), pa.string())))
    found = []
    for rule in family.events if own.num_rows else ():
        mine = own.filter(pc.equal(own["topic0"], Event(rule.signature).topic0))
        if mine.num_rows:
            found += [_one(log, values, rule, snapshot) for log, values in _rows(mine, rule)]
    return found


def _rows(logs: pa.Table, rule: EventRule) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each log with its decoded values; integers exact, from their text."""
    event = Event(rule.signature)
    decoded = event.decode(logs)
    names = [p.name for p in event.parameters]
    exact = {n: f"{n}_text" if f"{n}_text" in decoded.column_names else n for n in names}
    columns = {n: decoded[exact[n]].to_pylist() for n in names} | {"status": decoded["decode_status"].to_pylist()}
    values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return list(zip(logs.to_pylist(), values, strict=True))


def _one(log: dict[str, Any], values: dict[str, Any], rule: EventRule, snapshot: Snapshot) -> Liquidation:
    if values["status"] == "malformed":
        return Liquidation(log, rule.kind, "malformed", Legs())
    family, state = FAMILIES[snapshot.csu.family], snapshot.state
    legs = family.legs(rule.kind, values, state.emitters[log["address"]], state)
    plain = legs.collateral_token_amount if legs.shares_of is None else None
    return Liquidation(log, rule.kind, legs.status, legs, plain)


async def _unwrap(client: ChainClient, found: Sequence[Liquidation]) -> list[Liquidation]:
    """Seized shares in units of their asset, by the share's own view at the event's block."""
    by_block: dict[int, dict[int, Call]] = defaultdict(dict)
    for i, one in enumerate(found):
        if one.legs.shares_of is not None:
            by_block[one.block][i] = one.legs.shares_of
    if not by_block:
        return list(found)
    replies = await client.read_blocks([(block, list(of.values())) for block, of in by_block.items()])
    worth: dict[int, int | None] = {}
    for of, answers in zip(by_block.values(), replies, strict=True):
        worth |= dict(zip(of, (word(answer) for answer in answers), strict=True))
    return [one if i not in worth else _unwrapped(one, worth[i]) for i, one in enumerate(found)]


def _unwrapped(one: Liquidation, answer: int | None) -> Liquidation:
    legs, amount = one.legs, answer
    if answer is not None and legs.rate_decimals is not None:
        amount = (legs.collateral_token_amount or 0) * answer // 10**legs.rate_decimals
    return replace(one, status=one.status if amount is not None else "share_rate_unknown", collateral=amount)


async def missing_tokens(client: ChainClient, snapshot: Snapshot, found: Sequence[Liquidation]) -> dict[str, Token]:
    """Tokens of liquidations that the snapshot does not list any more (delisted within the day)."""
    wanted = {a for one in found for a in one.assets()} - snapshot.tokens.keys()
    return await read_tokens(At(client, snapshot.block, snapshot.timestamp), wanted) if wanted else {}


def liquidation_table(
    snapshot: Snapshot,
    found: Sequence[Liquidation],
    tokens: Mapping[str, Token],
    partition_id: str,
    fetched_at: datetime,
) -> pa.Table:
    """LIQUIDATIONS rows in order of the chain."""
    common = snapshot.common(partition_id, fetched_at)
    return pa.Table.from_pylist([common | _row(one, tokens) for one in found], schema=LIQUIDATIONS)


def _row(one: Liquidation, tokens: Mapping[str, Token]) -> dict[str, Any]:
    log, legs, unknown = one.log, one.legs, Token(None, None)
    return {
        "block_number": one.block,
        "block_at": datetime.fromtimestamp(log["block_timestamp"], UTC),
        "transaction_hash": log["transaction_hash"],
        "log_index": log["log_index"],
        "emitter_address": log["address"],
        "event_kind": one.kind,
        "market_id": legs.market_id,
        "liquidator": legs.liquidator,
        "borrower": legs.borrower,
        "debt_asset": legs.debt_asset,
        "debt_raw": _text(legs.debt),
        "bad_debt_raw": _text(legs.bad_debt),
        "debt_decimals": tokens.get(legs.debt_asset or "", unknown).decimals,
        "collateral_token": legs.collateral_token,
        "collateral_token_raw": _text(legs.collateral_token_amount),
        "collateral_asset": legs.collateral_asset,
        "collateral_raw": _text(one.collateral),
        "collateral_decimals": tokens.get(legs.collateral_asset or "", unknown).decimals,
        "stated_usd_raw": _text(legs.stated_usd),
        "decode_status": one.status,
        "confirmation": one.confirmation,
        "topics": [t for t in (log[f"topic{i}"] for i in range(4)) if t is not None],
        "data": log["data"],
    }


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
