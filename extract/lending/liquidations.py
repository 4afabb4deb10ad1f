"""Events of a day: one scan of a chain for all its CSUs, decoded by each family; liquidations in raw units.

A day without any is a complete day: the ledger row of its partition says which blocks were scanned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
from extract.evm.wire import LOG_SCHEMA
from extract.lending.families import FAMILIES
from extract.lending.families.base import MOVE, EventRule, Family, Legs, State
from extract.lending.registry import Csu
from extract.lending.snapshot import Snapshot, Token
from extract.lending.tables import LIQUIDATIONS

MALFORMED = "malformed"


@dataclass(frozen=True)
class Liquidation:
    """One decoded log of a CSU. `collateral` is in units of the asset behind the seized token."""

    log: Mapping[str, Any]
    kind: str
    status: str
    legs: Legs
    collateral: int | None = None
    confirmation: str = UNCONFIRMED  # how the range that its log came with was confirmed
    seized: int | None = None  # in units of the seized token: from the borrower, the protocol's fee included
    received: int | None = None  # by the liquidator
    fee_status: str = "unknown"

    @property
    def block(self) -> int:
        return int(self.log["block_number"])

    def assets(self) -> set[str]:
        """What needs a price."""
        return {a for a in (self.legs.debt_asset, self.legs.collateral_asset) if a}


@dataclass(frozen=True)
class Scan:
    """The logs found by CSU, the requests it took, and who answered."""

    logs: dict[str, pa.Table]
    requests: int
    provider: str | None
    confirmed: tuple[tuple[int, str], ...] = ()  # last block of each range, and how its logs were confirmed

    def confirmation(self, block: int) -> str:
        """How the range was confirmed that a block lies in."""
        return next((how for last, how in self.confirmed if block <= last), UNCONFIRMED)


@dataclass(frozen=True)
class Occurrence:
    """A log, which rule it follows, and its decoded values; without values where nobody can decode it."""

    log: Mapping[str, Any]
    rule: EventRule
    values: Mapping[str, Any] | None


def topics_of(family: Family) -> list[str]:
    """topic0 of everything that a family wants to hear."""
    remembered: Sequence[str] = getattr(family, "history", ())
    return sorted({Event(rule.signature).topic0 for rule in family.events} | set(remembered))


async def scan(client: ChainClient, emitters: Mapping[Csu, Sequence[str]], first: int, last: int) -> Scan:
    """Scan first..last (both included) once for every CSU that has contracts which may log."""
    watched = {csu: list(of) for csu, of in emitters.items() if of}
    found: dict[str, list[pa.Table]] = {csu.csu_id: [LOG_SCHEMA.empty_table()] for csu in emitters}
    requests, provider, confirmed = 0, None, []
    if watched and first <= last:
        addresses = sorted({a for of in watched.values() for a in of})
        topics = sorted({topic for csu in watched for topic in topics_of(FAMILIES[csu.family])})
        async for chunk in client.logs(addresses, [topics], first, last):
            requests, provider = requests + 1, chunk.provider
            confirmed.append((chunk.to_block, chunk.confirmation))
            for csu, of in watched.items():
                found[csu.csu_id].append(
                    chunk.table.filter(pc.is_in(chunk.table["address"], pa.array(of, pa.string())))
                )
    logs = {name: pa.concat_tables(parts) for name, parts in found.items()}
    return Scan(logs, requests, provider, tuple(confirmed))


def occurrences(logs: pa.Table, family: Family) -> Iterator[Occurrence]:
    """The family's events in logs (LOG_SCHEMA) of its emitters, decoded; integers exact, from their text.

    Two layouts of one event share a topic: a log follows the first rule that fits it.
    """
    by_topic: dict[str, list[EventRule]] = defaultdict(list)
    for rule in family.events:
        by_topic[Event(rule.signature).topic0].append(rule)
    for topic, rules in by_topic.items():
        left = logs.filter(pc.equal(logs["topic0"], topic)) if logs.num_rows else logs
        for rule in rules:
            if left.num_rows:
                decoded = Event(rule.signature).decode(left)
                fits = pc.not_equal(decoded["decode_status"], MALFORMED)
                yield from _decoded(left.filter(fits), decoded.filter(fits), rule)
                left = left.filter(pc.invert(fits))
        yield from (Occurrence(log, rules[0], None) for log in left.to_pylist())


def _decoded(logs: pa.Table, decoded: pa.Table, rule: EventRule) -> Iterator[Occurrence]:
    names = [p.name for p in Event(rule.signature).parameters]
    exact = {n: f"{n}_text" if f"{n}_text" in decoded.column_names else n for n in names}
    columns = [decoded[exact[n]].to_pylist() for n in names]
    for log, row in zip(logs.to_pylist(), zip(*columns, strict=True), strict=True):
        yield Occurrence(log, rule, dict(zip(names, row, strict=True)))


def decode(logs: pa.Table, csu: Csu, state: State) -> list[Liquidation]:
    """The liquidations of a CSU in its logs, in order of the chain. A log that does not decode is kept as such."""
    family = FAMILIES[csu.family]
    own = logs.filter(pc.is_in(logs["address"], pa.array(list(state.emitters), pa.string())))
    found = [_one(o, family, state) for o in occurrences(own, family) if o.rule.kind != MOVE]
    return sorted(found, key=lambda one: (one.block, one.log["log_index"]))


def _one(occurrence: Occurrence, family: Family, state: State) -> Liquidation:
    log, kind = occurrence.log, occurrence.rule.kind
    if occurrence.values is None:
        return Liquidation(log, kind, MALFORMED, Legs())
    legs = family.legs(kind, occurrence.values, state.emitters[log["address"]], state)
    plain = legs.collateral_token_amount if legs.shares_of is None else None
    return Liquidation(log, kind, legs.status, legs, plain)


async def unwrap(client: ChainClient, found: Sequence[Liquidation]) -> list[Liquidation]:
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
        "seized_token_raw": _text(one.seized),
        "received_token_raw": _text(one.received),
        "protocol_fee_status": one.fee_status,
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
