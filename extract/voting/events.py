"""Vote and reward events of an epoch: one scan per chain for every protocol on it, decoded by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.evm.abi import Event
from extract.evm.client import ChainClient
from extract.evm.proof import UNCONFIRMED
from extract.voting.families import EventRule, Protocol
from extract.voting.tables import EVENTS, UTC


@dataclass(frozen=True)
class Emitters:
    """Who may log for a protocol: its voter, its minter, and its bribes (address -> (gauge, kind))."""

    protocol: Protocol
    bribes: Mapping[str, tuple[str, str]]

    def addresses(self) -> list[str]:
        return [self.protocol.voter, *self.bribes]

    def of(self, rule: EventRule) -> list[str]:
        if rule.emitter == "voter":
            return [self.protocol.voter]
        if rule.emitter == "minter":
            return [self.protocol.minter]
        wanted = rule.emitter.removeprefix("bribe:")
        return [bribe for bribe, (_, kind) in self.bribes.items() if wanted in ("*", kind)]


@dataclass(frozen=True)
class Stamp:
    """What every row of a scan carries."""

    chain_id: int
    epoch: int
    partition_id: str
    fetched_at: datetime
    confirmation: str = UNCONFIRMED  # of the range that a row's log came with


async def scan(
    chain: ChainClient, emitters: Sequence[Emitters], stamp: Stamp, from_block: int, to_block: int
) -> tuple[pa.Table, int, str]:
    """(EVENTS rows in block order, chunks fetched, provider) of every emitter between two final blocks, inclusive."""
    addresses = sorted({a for e in emitters for a in e.addresses()})
    topics = sorted({Event(r.signature).topic0 for e in emitters for r in e.protocol.family.event_rules})
    parts, chunks, provider = [EVENTS.empty_table()], 0, ""
    async for chunk in chain.logs(addresses, [topics], from_block, to_block):
        chunks, provider = chunks + 1, chunk.provider
        for of_protocol in emitters:
            parts += decode(chunk.table, of_protocol, replace(stamp, confirmation=chunk.confirmation), chunk.provider)
    ordered = pa.concat_tables(parts).sort_by([("block_number", "ascending"), ("log_index", "ascending")])
    return ordered, chunks, provider


def decode(logs: pa.Table, emitters: Emitters, stamp: Stamp, provider: str) -> list[pa.Table]:
    """Logs (LOG_SCHEMA) to EVENTS rows, one table per rule of the family. Nothing is dropped for being odd."""
    tables = []
    for rule in emitters.protocol.family.event_rules:
        event = Event(rule.signature)
        is_topic = pc.equal(logs["topic0"], event.topic0)
        is_from = pc.is_in(logs["address"], pa.array(emitters.of(rule), pa.string()))
        mine = logs.filter(pc.and_(is_topic, is_from))
        if mine.num_rows:
            common = _common(mine, emitters, stamp, provider)
            tables.append(_event_rows(event.decode(mine), rule, emitters, common))
    return tables


def _common(logs: pa.Table, emitters: Emitters, stamp: Stamp, provider: str) -> dict[str, Any]:
    n = logs.num_rows
    topics = zip(*(logs[f"topic{i}"].to_pylist() for i in range(4)), strict=True)
    return {
        "partition_id": [stamp.partition_id] * n,
        "protocol": [emitters.protocol.name] * n,
        "chain_id": [stamp.chain_id] * n,
        "epoch": [stamp.epoch] * n,
        "block_number": logs["block_number"],
        "block_at": pc.cast(pc.multiply(logs["block_timestamp"], 1_000_000), UTC),
        "block_hash": logs["block_hash"],
        "transaction_hash": logs["transaction_hash"],
        "log_index": logs["log_index"],
        "emitter_address": logs["address"],
        "topics": [[t for t in row if t is not None] for row in topics],
        "data": logs["data"],
        "confirmation": [stamp.confirmation] * n,
        "provider": [provider] * n,
        "fetched_at": [stamp.fetched_at] * n,
    }


def _event_rows(decoded: pa.Table, rule: EventRule, emitters: Emitters, common: dict[str, Any]) -> pa.Table:
    n = decoded.num_rows

    def column(name: str | None) -> Any:
        if name is None:
            return [None] * n
        exact = f"{name}_text"  # integers beyond 38 digits have no decimal, but always their text
        return decoded[exact] if exact in decoded.column_names else decoded[name]

    from_bribe = rule.emitter.startswith("bribe:")
    found = [emitters.bribes.get(a, (None, None)) for a in common["emitter_address"].to_pylist()]
    counted_kind = emitters.protocol.family.vote_bribe_kind
    counted = [rule.kind != "vote" or not from_bribe or kind == counted_kind for _, kind in found]
    kinds = [kind for _, kind in found]
    if rule.bribe:
        kinds = [emitters.bribes.get(bribe, (None, None))[1] for bribe in pa.array(column(rule.bribe)).to_pylist()]
    columns = common | {
        "event_kind": [rule.kind] * n,
        "bribe_kind": kinds,
        "is_counted": counted,
        "gauge_address": column(rule.gauge) if rule.gauge else [gauge for gauge, _ in found],
        "pool_address": column(rule.pool),
        "token_address": column(rule.token),
        "actor": column(rule.actor),
        "amount_raw": column(rule.amount),
        "sign": [rule.sign] * n,
        "total_after_raw": column(rule.total),
        "event_epoch": _event_epoch(decoded, rule, emitters.protocol.family.reward_epoch_offset),
        "decode_status": decoded["decode_status"],
    }
    return pa.table({name: columns[name] for name in EVENTS.names}).cast(EVENTS)


def _event_epoch(decoded: pa.Table, rule: EventRule, offset: int) -> Any:
    """The vote epoch a reward counts for; Thena keys rewards `offset` seconds later than votes."""
    if rule.epoch is None:
        return [None] * decoded.num_rows
    return pc.subtract(pc.cast(decoded[rule.epoch], pa.int64()), offset)


def recounted(events: pa.Table, emitters: Sequence[Emitters]) -> pa.Table:
    """EVENTS rows of an epoch with the votes of a gauge counted on a bribe that was not replaced in it.

    Both bribes of a gauge log the same votes, but a replaced one does not log that votes cast before are taken back.
    A gauge with two bribes of one kind in the epoch had one replaced: the states at its ends show it, whatever a
    provider does with the log; the log shows one that was set and taken away in between.
    """
    replaced = events.filter(pc.equal(events["event_kind"], "bribe_replaced")).to_pylist()
    kinds = {of.protocol.name: of.protocol.family.vote_bribe_kind for of in emitters}
    gone = {(r["protocol"], r["gauge_address"]) for r in replaced if r["bribe_kind"] == kinds[r["protocol"]]}
    for of in emitters:
        counts = Counter(gauge for gauge, kind in of.bribes.values() if kind == kinds[of.protocol.name])
        gone |= {(of.protocol.name, gauge) for gauge, count in counts.items() if count > 1}
    if not gone:
        return events
    rows = zip(*(events[c].to_pylist() for c in ("event_kind", "protocol", "gauge_address", "bribe_kind")), strict=True)
    counted = [
        was if kind != "vote" or (protocol, gauge) not in gone else bribe != kinds[protocol]
        for was, (kind, protocol, gauge, bribe) in zip(events["is_counted"].to_pylist(), rows, strict=True)
    ]
    place = events.schema.get_field_index("is_counted")
    return events.set_column(place, events.schema.field(place), pa.array(counted, pa.bool_()))
