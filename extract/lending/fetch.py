"""Fetch one chain and day: its blocks, every due CSU's state and events, then the prices; as partitions to land."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.errors import BeforeChain
from extract.evm.redact import redact
from extract.ledger import SOURCES_DOWN, LedgerRow, Partition, failed, now
from extract.lending.days import Day
from extract.lending.families.base import NOT_DEPLOYED, OK, USD, Memory, State
from extract.lending.flows import flow_rows
from extract.lending.liquidations import Liquidation, liquidation_table
from extract.lending.plan import DAYS, LIQUIDATIONS, MISSING_PRICES, PRICES, SNAPSHOT, SOURCE, Unit
from extract.lending.pricing import MISSING, NOTHING, Price, Priced, Pricer, Question, Said
from extract.lending.registry import Csu
from extract.lending.snapshot import Snapshot, snapshot_tables
from extract.lending.tables import DAYS as DAYS_SCHEMA
from extract.lending.tables import FLOWS, LENDING_TABLES
from extract.lending.tables import PRICES as PRICES_SCHEMA
from extract.lending.visits import DayBlocks, Unreadable, Visit, Visited, visit
from extract.work import Fetched


class NotThereYet(ForeshoreError):
    """What a partition depends on could not be fetched in the same run."""


@dataclass
class Known:
    """What earlier runs landed: blocks of days, markets as they were before the day, priced assets to be completed.

    `broken`: CSUs whose history could not be read, with why.
    """

    days: Mapping[tuple[int, str], DayBlocks] = field(default_factory=dict)
    memories: Mapping[str, Memory] = field(default_factory=dict)
    priced: Mapping[str, pa.Table] = field(default_factory=dict)  # PRICES rows by partition
    broken: Mapping[str, str] = field(default_factory=dict)

    def for_unit(self, unit: Unit, chain_id: int) -> Known:
        """Only what a unit needs: what travels to another process."""
        names = {partition.partition_id for partition in unit.due}
        key = (chain_id, unit.day.name)
        return Known(
            days={key: self.days[key]} if key in self.days else {},
            priced={name: rows for name, rows in self.priced.items() if name in names},
        )


@dataclass
class _Result:
    """Tables and ledger rows so far."""

    parts: list[dict[str, pa.Table]] = field(default_factory=list)
    rows: list[LedgerRow] = field(default_factory=list)

    def done(self, row: LedgerRow | None, tables: Mapping[str, pa.Table], **facts: Any) -> None:
        if row is not None:
            self.parts.append(dict(tables))
            sizes = {"rows": sum(t.num_rows for t in tables.values()), "bytes": sum(t.nbytes for t in tables.values())}
            self.rows.append(replace(row, finished_at=now(), **sizes, **facts))

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
    only_prices = [csu for csu in unit.csus if has_only_prices(unit, csu, known)]
    wanted = [c for c in unit.csus if unit.kinds(c) and c not in only_prices and not _broken(c, unit, known, result)]
    try:
        blocks = await _day(client, unit, known, result)
    except BeforeChain as error:
        _before_chain(unit, wanted, str(error), result)
        return result.merged()
    if wanted:
        visited = await visit(client, unit.day, wanted, blocks, known.memories)
        for one in visited.visits:
            await _land(pricer, unit, one, visited, blocks, result)
    for csu in only_prices:
        row = unit.row(PRICES, csu.csu_id)
        if row is not None:
            await _complete_prices(pricer, known.priced[price_id(csu, unit.day)], row, result)
    return result.merged()


def has_only_prices(unit: Unit, csu: Csu, known: Known) -> bool:
    """Whether only prices of a CSU's day are due, and those that stand are known: then no state or log is read."""
    return unit.kinds(csu) == {PRICES} and price_id(csu, unit.day) in known.priced


def price_id(csu: Csu, day: Day) -> str:
    return Partition(SOURCE, PRICES, csu.csu_id, day.name).partition_id


def _broken(csu: Csu, unit: Unit, known: Known, result: _Result) -> bool:
    why = known.broken.get(csu.csu_id)
    if why is not None:
        for kind in sorted(unit.kinds(csu)):
            result.failed(unit.row(kind, csu.csu_id), Unreadable(why))
    return why is not None


def _before_chain(unit: Unit, csus: Sequence[Csu], why: str, result: _Result) -> None:
    """A day on which the chain did not exist: complete, and nothing was deployed."""
    result.done(unit.row(DAYS, unit.chain), {})
    for csu in csus:
        snapshot = Snapshot(csu, unit.day, None, None, State(NOT_DEPLOYED, why))
        row = unit.row(SNAPSHOT, csu.csu_id)
        if row is not None:
            result.done(row, snapshot_tables(snapshot, row.partition.partition_id, now()))
        for kind in (LIQUIDATIONS, PRICES):
            result.done(unit.row(kind, csu.csu_id), {})


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
        first, ends = before.number + 1, [before.number, before.number + 1]
    except BeforeChain:  # the chain began on this day; BeforeChain again where it began later
        last, first, ends = await client.block_at_or_before(day.target), 0, []
    # no state is read at these headers for their own sake, and the day hangs on their times
    *_, last, following = await client.proven_blocks([*ends, last.number, last.number + 1])
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


async def _land(pricer: Pricer, unit: Unit, one: Visit, visited: Visited, blocks: DayBlocks, result: _Result) -> None:
    """The three partitions of a CSU and day."""
    name, snapshot = one.csu.csu_id, one.snapshot
    if one.error is not None:
        for kind in sorted(unit.kinds(one.csu)):
            result.failed(unit.row(kind, name), one.error)
        return
    facts = {"provider": snapshot.state.provider, "to_block": blocks.last, "to_block_hash": blocks.last_hash}
    row = unit.row(SNAPSHOT, name)
    if row is not None:
        tables = snapshot_tables(snapshot, row.partition.partition_id, now())
        result.done(row, tables, calls=one.calls, **facts)
    if visited.scan is None:
        result.failed(unit.row(LIQUIDATIONS, name), visited.scan_error or NotThereYet("the day was not scanned"))
        result.failed(unit.row(PRICES, name), NotThereYet("the day's liquidations could not be scanned: what they "
                                                          "need is unknown"))  # fmt: skip
        return
    row = unit.row(LIQUIDATIONS, name)
    if row is not None:
        tables = _event_tables(one, blocks, row.partition.partition_id)
        shared = visited.scan.requests // len(visited.visits)  # one scan, shared by all
        facts |= {"provider": visited.scan.provider, "from_block": blocks.first}
        result.done(row, tables, calls=shared, **facts)
    row = unit.row(PRICES, name)
    if row is not None:
        await _price(pricer, one, row, result)


def _event_tables(one: Visit, blocks: DayBlocks, partition_id: str) -> dict[str, pa.Table]:
    """Liquidations, and the flows that the same logs tell."""
    snapshot, found = one.snapshot, one.found or []
    common = snapshot.common(partition_id, now())
    ends = {"opening_block": max(blocks.first - 1, 0), "closing_block": blocks.last}
    flows = flow_rows(one.csu, one.opening, snapshot.state, one.heard) if snapshot.state.status == OK else []
    return {
        "lending_liquidations": liquidation_table(snapshot, found, snapshot.tokens, partition_id, now()),
        "lending_flows": pa.Table.from_pylist([common | ends | flow for flow in flows], schema=FLOWS),
    }


def questions_of(snapshot: Snapshot, found: Sequence[Liquidation]) -> set[Question]:
    """Every asset at the snapshot's block, and every leg of a liquidation at its own."""
    if snapshot.block is None or snapshot.timestamp is None:
        return set()
    asked = {Question(a, snapshot.block, snapshot.timestamp) for a in snapshot.state.assets()}
    return asked | {Question(a, one.block, int(one.log["block_timestamp"])) for one in found for a in one.assets()}


async def _price(pricer: Pricer, one: Visit, row: LedgerRow, result: _Result) -> None:
    try:
        priced = await pricer.price(questions_of(one.snapshot, one.found or []), one.rules)
    except ForeshoreError as error:
        result.failed(row, error)
        return
    _done_prices(result, row, one.snapshot.common(row.partition.partition_id, now()), priced)


async def _complete_prices(pricer: Pricer, before: pa.Table, row: LedgerRow, result: _Result) -> None:
    """Price again from what the oracles said then, whose answer at a block never changes: as a fresh run would."""
    rows = before.to_pylist()
    said: dict[int, dict[str, Said]] = {}
    for old in rows:
        said.setdefault(old["block_number"], {})[old["asset_address"]] = _said(old)
    try:
        priced = await pricer.complete((_question(old) for old in rows if old["is_asked"]), said)
    except ForeshoreError as error:
        result.failed(row, error)
        return
    kept = {name: rows[0][name] for name in ("chain_id", "day", "csu_id", "provider")} if rows else {}
    stamp = {"partition_id": row.partition.partition_id, "fetched_at": now()}
    _done_prices(result, row, kept | stamp, priced)


def _question(row: Mapping[str, Any]) -> Question:
    return Question(row["asset_address"], row["block_number"], int(row["block_at"].timestamp()))


def _said(row: Mapping[str, Any]) -> Said:
    if row["oracle_status"] == NOTHING.status:
        return NOTHING
    return Said(
        row["oracle_status"],
        None if row["oracle_raw"] is None else int(row["oracle_raw"]),
        row["oracle_decimals"],
        row["oracle_unit"] or USD,
        row["oracle_control"],
        None if row["oracle_at"] is None else int(row["oracle_at"].timestamp()),
    )


def _done_prices(result: _Result, row: LedgerRow, common: Mapping[str, Any], priced: Priced) -> None:
    rows = [{**common, **price_row(q, p)} for q, p in priced.prices.items()]
    rows += [{**common, **price_row(q, p, is_asked=False)} for q, p in priced.units.items()]
    missing = [q.asset for q, p in priced.prices.items() if p.status == MISSING]
    facts: dict[str, Any] = {"calls": priced.calls, "provider": common.get("provider")}
    some = ", ".join(dict.fromkeys(missing[:5]))
    if priced.down:
        why = redact("; ".join(priced.down.values()))
        facts |= {
            "error_class": SOURCES_DOWN,
            "error_message": f"{len(missing)} prices are missing: {some} ({why})"[:500],
        }
    elif missing:
        facts |= {"error_class": MISSING_PRICES, "error_message": f"{len(missing)} prices are missing: {some}"}
    result.done(row, {"lending_prices": pa.Table.from_pylist(rows, schema=PRICES_SCHEMA)}, **facts)


def price_row(question: Question, price: Price, is_asked: bool = True) -> dict[str, Any]:
    """The PRICES columns of an answer."""
    said = price.said
    is_there = said != NOTHING
    return {
        "asset_address": question.asset,
        "block_number": question.block,
        "block_at": _utc(question.timestamp),
        "is_asked": is_asked,
        "price_status": price.status,
        "price_source": price.source,
        "price_control": price.control,
        "price_confidence": price.confidence,
        "price_raw": None if price.raw is None else str(price.raw),
        "price_decimals": price.decimals,
        "unit_asset": price.unit,
        "unit_price_usd": price.unit_usd,
        "price_usd": price.usd,
        "price_at": _maybe(price.made_at),
        "check_usd": price.check_usd,
        "check_source": price.check_source,
        "oracle_status": said.status,
        "oracle_raw": None if said.raw is None else str(said.raw),
        "oracle_decimals": said.decimals if is_there else None,
        "oracle_unit": said.unit if is_there and said.unit != USD else None,
        "oracle_control": said.control if is_there else None,
        "oracle_at": _maybe(said.made_at),
        "tried": "; ".join(price.tried),
    }


def _maybe(timestamp: int | None) -> datetime | None:
    """None also for what no clock has shown: a feed may answer any number."""
    return None if timestamp is None or not 0 < timestamp < 1 << 33 else _utc(timestamp)


def _utc(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
