"""Fetch one chain and day: its blocks, every due CSU's snapshot, one scan for all liquidations, then the prices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.errors import BeforeChain
from extract.evm.redact import redact
from extract.ledger import LedgerRow, Partition, failed, now
from extract.lending.days import Day
from extract.lending.families import FAMILIES
from extract.lending.families.base import NO_ARCHIVE, OK, UNREADABLE, Memory
from extract.lending.liquidations import Liquidation, liquidation_table, missing_tokens, scan
from extract.lending.plan import DAYS, LIQUIDATIONS, MISSING_PRICES, PRICES, SNAPSHOT, SOURCE, Unit
from extract.lending.pricing import Price, Pricer, Question
from extract.lending.registry import Csu
from extract.lending.snapshot import Snapshot, read_snapshot, snapshot_tables
from extract.lending.tables import DAYS as DAYS_SCHEMA
from extract.lending.tables import LENDING_TABLES
from extract.lending.tables import PRICES as PRICES_SCHEMA
from extract.work import Fetched


class Unreadable(ForeshoreError):
    """A CSU that ought to answer does not, or no provider keeps the block's state."""


class NotThereYet(ForeshoreError):
    """What a partition depends on could not be fetched in the same run."""


@dataclass(frozen=True)
class DayBlocks:
    """The blocks of a day on a chain: first..last belong to it, `next_at` is the time of the block after the last."""

    first: int
    last: int
    last_at: int
    last_hash: str
    next_at: int
    provider: str | None = None


@dataclass
class Known:
    """What earlier runs landed: blocks of days, the newest checkpoint of markets, and priced assets."""

    days: Mapping[tuple[int, str], DayBlocks] = field(default_factory=dict)
    memories: Mapping[str, Sequence[Memory]] = field(default_factory=dict)
    priced: Mapping[str, pa.Table] = field(default_factory=dict)  # PRICES rows by partition, to be completed

    def memory(self, csu: Csu, block: int) -> Memory:
        """The newest checkpoint at or before a block."""
        fits = [m for m in self.memories.get(csu.csu_id, ()) if m.block is not None and m.block <= block]
        return max(fits, key=lambda m: m.block or 0, default=Memory())

    def for_unit(self, unit: Unit, chain_id: int) -> Known:
        """Only what a unit needs: what travels to another process."""
        names = {partition.partition_id for partition in unit.due}
        key = (chain_id, unit.day.name)
        return Known(
            {key: self.days[key]} if key in self.days else {},
            {c.csu_id: self.memories[c.csu_id] for c in unit.csus if c.csu_id in self.memories},
            {name: rows for name, rows in self.priced.items() if name in names},
        )


@dataclass
class _Result:
    """Tables and ledger rows so far."""

    parts: list[dict[str, pa.Table]] = field(default_factory=list)
    rows: list[LedgerRow] = field(default_factory=list)

    def done(self, row: LedgerRow, tables: Mapping[str, pa.Table], **facts: Any) -> None:
        self.parts.append(dict(tables))
        counts = {"rows": sum(t.num_rows for t in tables.values()), "bytes": sum(t.nbytes for t in tables.values())}
        self.rows.append(replace(row, finished_at=now(), **counts, **facts))

    def failed(self, row: LedgerRow | None, error: ForeshoreError) -> None:
        if row is not None:
            self.rows.append(failed(row, error, redact(str(error))))

    def merged(self) -> Fetched:
        names = sorted({name for part in self.parts for name in part})
        empty = LENDING_TABLES
        tables = {n: pa.concat_tables([empty[n].empty_table(), *(p[n] for p in self.parts if n in p)]) for n in names}
        return tables, self.rows


async def fetch(client: ChainClient, pricer: Pricer, unit: Unit, known: Known) -> Fetched:
    """The due partitions of a chain and day. What one CSU or its oracle does wrong is that CSU's failed row."""
    result = _Result()
    blocks = await _day(client, unit, known, result)
    pricing_only = {c.csu_id for c in unit.csus if unit.kinds(c) == {PRICES} and _price_id(c, unit.day) in known.priced}
    wanted = [c for c in unit.csus if unit.kinds(c) and c.csu_id not in pricing_only]
    snapshots = await _snapshots(client, unit, wanted, blocks, known, result)
    found = await _liquidations(client, unit, snapshots, blocks, result)
    for snapshot in snapshots:
        row = unit.row(PRICES, snapshot.csu.csu_id)
        if row is not None and found is None:
            result.failed(row, NotThereYet("the day's liquidations could not be scanned: what they need is unknown"))
        elif row is not None and found is not None:
            await _price(pricer, snapshot, found[snapshot.csu.csu_id], row, result)
    for csu in unit.csus:
        row = unit.row(PRICES, csu.csu_id)
        if csu.csu_id in pricing_only and row is not None:
            await _complete_prices(pricer, known.priced[_price_id(csu, unit.day)], row, result)
    return result.merged()


def _price_id(csu: Csu, day: Day) -> str:
    return Partition(SOURCE, PRICES, csu.csu_id, day.name).partition_id


async def _day(client: ChainClient, unit: Unit, known: Known, result: _Result) -> DayBlocks:
    row = unit.row(DAYS, unit.chain)
    cached = known.days.get((client.chain_id, unit.day.name))
    if row is None and cached is not None:
        return cached
    blocks = await find_day(client, unit.day)
    if row is not None:
        table = _day_table(client, unit, blocks, row.partition.partition_id)
        facts = {"calls": 2, "provider": blocks.provider, "from_block": blocks.first, "to_block": blocks.last}
        result.done(row, {"lending_days": table}, **facts, to_block_hash=blocks.last_hash)
    return blocks


async def find_day(client: ChainClient, day: Day) -> DayBlocks:
    """The blocks of a New York day, by timestamp search; a block exactly at midnight belongs to the day it begins."""
    try:
        before, last = await client.blocks_at_or_before([day.start - 1, day.target])
        first = before.number + 1
    except BeforeChain:  # the chain began on this day; BeforeChain again where it began later
        last, first = await client.block_at_or_before(day.target), 0
    following = await client.block(last.number + 1)
    return DayBlocks(first, last.number, last.timestamp, last.hash, following.timestamp, next(iter(client.stats), None))


def _day_table(client: ChainClient, unit: Unit, blocks: DayBlocks, partition_id: str) -> pa.Table:
    row = {
        "partition_id": partition_id,
        "chain_id": client.chain_id,
        "day": unit.day.date,
        "chain": unit.chain,
        "window_start_at": _utc(unit.day.start),
        "window_end_at": _utc(unit.day.end),
        "first_block": blocks.first,
        "last_block": blocks.last,
        "last_block_at": _utc(blocks.last_at),
        "last_block_hash": blocks.last_hash,
        "next_block_at": _utc(blocks.next_at),
        "provider": blocks.provider,
        "fetched_at": now(),
    }
    return pa.Table.from_pylist([row], schema=DAYS_SCHEMA)


async def _snapshots(
    client: ChainClient, unit: Unit, csus: Sequence[Csu], blocks: DayBlocks, known: Known, result: _Result
) -> list[Snapshot]:
    """The CSUs that could be read; the others leave failed rows."""

    async def one(csu: Csu) -> Snapshot | None:
        memory = known.memory(csu, blocks.last) if _remembers(csu) else Memory()
        try:
            snapshot = await read_snapshot(client, csu, unit.day, blocks.last, blocks.last_at, memory)
            if snapshot.state.status in (NO_ARCHIVE, UNREADABLE):
                raise Unreadable(f"{csu.csu_id} at block {blocks.last}: {snapshot.state.reason}")
        except (ForeshoreError, OSError) as error:
            for kind in unit.kinds(csu):
                wrapped = error if isinstance(error, ForeshoreError) else Unreadable(str(error))
                result.failed(unit.row(kind, csu.csu_id), wrapped)
            return None
        row = unit.row(SNAPSHOT, csu.csu_id)
        if row is not None:
            tables = snapshot_tables(snapshot, row.partition.partition_id, now())
            facts = {"calls": snapshot.calls, "provider": snapshot.state.provider, "to_block": blocks.last}
            result.done(row, tables, **facts, to_block_hash=blocks.last_hash)
        return snapshot

    return [s for s in await asyncio.gather(*(one(csu) for csu in csus)) if s is not None]


def _remembers(csu: Csu) -> bool:
    return csu.family in FAMILIES and FAMILIES[csu.family].has_memory


async def _liquidations(
    client: ChainClient, unit: Unit, snapshots: Sequence[Snapshot], blocks: DayBlocks, result: _Result
) -> dict[str, list[Liquidation]] | None:
    """The day's liquidations by CSU; None when the scan failed (its rows say why)."""
    try:
        scanned = await scan(client, snapshots, blocks.first, blocks.last)
        named = {s.csu.csu_id: await missing_tokens(client, s, scanned.found[s.csu.csu_id]) for s in snapshots}
    except ForeshoreError as error:
        for snapshot in snapshots:
            result.failed(unit.row(LIQUIDATIONS, snapshot.csu.csu_id), error)
        return None
    share = len([s for s in snapshots if s.state.emitters]) or 1
    for i, snapshot in enumerate(snapshots):
        snapshot.tokens |= named[snapshot.csu.csu_id]
        row = unit.row(LIQUIDATIONS, snapshot.csu.csu_id)
        if row is None:
            continue
        found = scanned.found[snapshot.csu.csu_id]
        table = liquidation_table(snapshot, found, snapshot.tokens, row.partition.partition_id, now())
        calls = scanned.requests // share + (i < scanned.requests % share)  # one scan, shared by all
        facts = {"from_block": blocks.first, "to_block": blocks.last, "to_block_hash": blocks.last_hash}
        result.done(row, {"lending_liquidations": table}, calls=calls, provider=scanned.provider, **facts)
    return scanned.found


async def _price(
    pricer: Pricer, snapshot: Snapshot, found: Sequence[Liquidation], row: LedgerRow, result: _Result
) -> None:
    questions = {Question(a, snapshot.block, snapshot.timestamp) for a in snapshot.state.assets()}
    for one in found:
        questions |= {Question(a, one.block, int(one.log["block_timestamp"])) for a in one.assets()}
    try:
        prices, calls = await pricer.price(questions, snapshot.state.prices)
    except ForeshoreError as error:
        result.failed(row, error)
        return
    common = snapshot.common(row.partition.partition_id, now())
    table = pa.Table.from_pylist([common | price_row(q, p) for q, p in prices.items()], schema=PRICES_SCHEMA)
    _done_prices(result, row, table, calls, snapshot.state.provider)


async def _complete_prices(pricer: Pricer, before: pa.Table, row: LedgerRow, result: _Result) -> None:
    """Ask again for what is missing, without the chain's own oracle, whose answer at a block never changes."""
    kept = before.to_pylist()
    open_ = {
        Question(r["asset_address"], r["block_number"], int(r["block_at"].timestamp())): r
        for r in kept
        if r["price_status"] != OK
    }
    try:
        prices, calls = await pricer.price(open_, {})
    except ForeshoreError as error:
        result.failed(row, error)
        return
    for question, price in prices.items():
        said = open_[question]["tried"].split("; ")[0]  # the oracle's own words stay
        open_[question] |= price_row(question, replace(price, tried=(said, *price.tried[1:])))
    stamped = [r | {"partition_id": row.partition.partition_id, "fetched_at": now()} for r in kept]
    _done_prices(result, row, pa.Table.from_pylist(stamped, schema=PRICES_SCHEMA), calls, row.provider)


def _done_prices(result: _Result, row: LedgerRow, table: pa.Table, calls: int, provider: str | None) -> None:
    missing = [r["asset_address"] for r in table.to_pylist() if r["price_status"] != OK]
    facts: dict[str, Any] = {"calls": calls, "provider": provider}
    if missing:
        some = ", ".join(dict.fromkeys(missing[:5]))
        facts |= {"error_class": MISSING_PRICES, "error_message": f"{len(missing)} prices are missing: {some}"}
    result.done(row, {"lending_prices": table}, **facts)


def price_row(question: Question, price: Price) -> dict[str, Any]:
    """The PRICES columns of an answer."""
    return {
        "asset_address": question.asset,
        "block_number": question.block,
        "block_at": _utc(question.timestamp),
        "price_status": price.status,
        "price_source": price.source,
        "price_raw": None if price.raw is None else str(price.raw),
        "price_decimals": price.decimals,
        "unit_asset": price.unit,
        "unit_price_usd": price.unit_usd,
        "price_usd": price.usd,
        "price_at": None if price.made_at is None else _utc(price.made_at),
        "tried": "; ".join(price.tried),
    }


def _utc(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
