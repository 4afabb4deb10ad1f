"""Run the lending line: what is due, by chain and day, landed as it comes; a kill loses at most what was in flight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.changed import changed_partitions
from extract.config import Config
from extract.engine import open_engine
from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.config import has_keys
from extract.integrity import prepare
from extract.lake import Lake
from extract.ledger import Ledger
from extract.lending.cost import Period, measure
from extract.lending.families import FAMILIES
from extract.lending.families.base import Market, Memory
from extract.lending.fetch import Known, fetch, has_only_prices
from extract.lending.history import Histories
from extract.lending.plan import (
    AGE_CAP,
    PRICES,
    SOURCE,
    Plan,
    Request,
    Scope,
    Unit,
    asked_days,
    by_chain,
    feeds,
    has_provider,
    make_plan,
    make_scope,
)
from extract.lending.pricing import Pricer
from extract.lending.tables import DAYS, LENDING_TABLES, MARKETS
from extract.lending.tables import PRICES as PRICES_SCHEMA
from extract.lending.visits import DayBlocks
from extract.prices import LEAST_CONFIDENCE, load_price_sources
from extract.seeds import threshold
from extract.tools import Tools
from extract.work import Fetched, Job, Outcome, Report, Step, Tell, run_jobs

Clients = dict[str, ChainClient | ForeshoreError]
Checkpoints = dict[str, list[Memory]]  # of CSUs whose markets logs tell, by CSU


async def extract_lending(config: Config, request: Request, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it. Raises what no partition is to blame for (storage, configuration)."""
    outcome, scope = Outcome(), make_scope(config, request)
    async with Tools(config) as tools:
        with tools.lake.lock():
            prepare(tools.lake, LENDING_TABLES)
            clients = await _clients(tools, scope)
            ledger = Ledger.read(tools.lake)
            plan = make_plan(config, request, scope, ledger, run_id, await _changed(clients, ledger))
            known = read_known(tools.lake, plan, ledger, request.resume)
            outcome.skipped = plan.skipped
            report(Step("planned", SOURCE, total=len(plan.units), message=_note(plan, scope)))
            histories = _histories(known, plan, report)
            jobs = [_job(unit, clients[unit.chain], known[0], histories) for unit in plan.units]
            needs = [partial(has_keys, chains=tuple(clients))]
            async with open_engine(config, request.where, request.workers, tools, report, needs) as engine:
                await run_jobs(engine, SOURCE, jobs, outcome, report)
    return outcome


async def measure_periods(config: Config, request: Request) -> dict[str, Period]:
    """The blocks of the days asked for, of every chain that has a provider and answers. A dozen headers each."""
    days = asked_days(config, request)
    chains = {chain: csus for chain, csus in by_chain(config, request).items() if has_provider(config, chain)}
    found: dict[str, Period] = {}
    async with Tools(config) as tools:
        for chain, client in (await _clients(tools, Scope(chains, tuple(days)))).items():
            if isinstance(client, ChainClient):
                try:
                    found[chain] = await measure(client, days)
                except ForeshoreError:
                    continue  # a plan does not fail for a chain that does not answer: it says that it assumed
    return found


def _note(plan: Plan, scope: Scope) -> str:
    without = f"; chains without a provider: {', '.join(scope.unconfigured)}" if scope.unconfigured else ""
    return f"{plan.skipped} partitions are complete{without}"


@dataclass(frozen=True)
class ChainDay:
    """A chain's day, with what is known before it."""

    unit: Unit
    known: Known

    async def fetch(self, tools: Tools, _: Tell) -> Fetched:
        client = await tools.chain(self.unit.chain)
        return await fetch(client, pricer_of(tools.config, self.unit.chain, client), self.unit, self.known)


def _job(unit: Unit, client: ChainClient | ForeshoreError, known: Known, histories: Histories) -> Job:
    async def make() -> ChainDay:
        if isinstance(client, ForeshoreError):
            raise client
        read = [csu for csu in unit.csus if unit.kinds(csu) and not has_only_prices(unit, csu, known)]
        memories, broken = await histories.before(client, read, unit.day)
        return ChainDay(unit, replace(known.for_unit(unit, client.chain_id), memories=memories, broken=broken))

    return Job(unit.name, list(unit.due.values()), make)


def pricer_of(config: Config, chain: str, client: ChainClient) -> Pricer:
    """The feeds and sources of a chain, as configured."""
    tables, least = config.section("chains")[chain].get("price_sources"), threshold(config.seeds, LEAST_CONFIDENCE)
    sources = load_price_sources(chain, tables, config.environ, least)
    return Pricer(client, feeds(config, chain), sources, int(threshold(config.seeds, AGE_CAP)))


async def _clients(tools: Tools, scope: Scope) -> Clients:
    """An open client per chain, or the reason why its partitions must fail; one chain that is down stops no other."""
    clients: Clients = {}
    for chain in scope.chains:
        try:
            clients[chain] = await tools.chain(chain)
        except ForeshoreError as error:
            clients[chain] = error
    return clients


async def _changed(clients: Clients, ledger: Ledger) -> frozenset[str]:
    found: set[str] = set()
    for client in clients.values():
        if isinstance(client, ChainClient):
            found |= await changed_partitions(client, ledger, client.chain_id, await client.finalized())
    return frozenset(found)


def _histories(known: tuple[Known, Checkpoints], plan: Plan, report: Report) -> Histories:
    """Each CSU's history is read from before the first day that is due."""
    floors: dict[str, int] = {}
    for unit in plan.units:
        for csu in unit.csus:
            floors[csu.csu_id] = min(unit.day.start - 1, floors.get(csu.csu_id, unit.day.start - 1))

    def say(text: str) -> None:
        report(Step("history", text, total=len(plan.units)))

    return Histories(known[1], floors, say)


def read_known(lake: Lake, plan: Plan, ledger: Ledger, resume: bool) -> tuple[Known, Checkpoints]:
    """What earlier runs landed and this plan can stand on; nothing where everything is to be fetched anew."""
    if not resume or not plan.units:
        return Known(), {}
    loads = {name: s.complete["load_id"] for name, s in ledger.states.items() if s.complete}

    def newest(table: str, schema: pa.Schema) -> pa.Table:
        rows = lake.read_committed(table, schema)
        names, ids = (rows[column].to_pylist() for column in ("partition_id", "load_id"))
        current = [loads.get(name) == load_id for name, load_id in zip(names, ids, strict=True)]
        return rows.filter(pa.array(current, pa.bool_())).drop_columns("load_id")

    known = Known(days={_key(row): _blocks(row) for row in newest("lending_days", DAYS).to_pylist()})
    checkpoints: Checkpoints = {}
    if any(FAMILIES[c.family].has_memory for unit in plan.units for c in unit.csus if c.family in FAMILIES):
        checkpoints = _memories(newest("lending_markets", MARKETS).to_pylist())
    if names := _only_prices(plan, ledger):
        rows = newest("lending_prices", PRICES_SCHEMA)
        rows = rows.filter(pc.is_in(rows["partition_id"], pa.array(sorted(names))))
        known.priced = {name: rows.filter(pc.equal(rows["partition_id"], name)) for name in names}
    return known, checkpoints


def _only_prices(plan: Plan, ledger: Ledger) -> set[str]:
    """Price partitions of which only prices may be new: their snapshot and liquidations stand as they are."""
    found = set()
    for unit in plan.units:
        for csu in unit.csus:
            row = unit.row(PRICES, csu.csu_id)
            state = ledger.state(row.partition) if row and unit.kinds(csu) == {PRICES} else None
            if row and state and state.complete:
                found.add(row.partition.partition_id)
    return found


def _key(row: dict[str, Any]) -> tuple[int, str]:
    return row["chain_id"], row["day"].isoformat()


def _blocks(row: dict[str, Any]) -> DayBlocks:
    return DayBlocks(
        first=row["first_block"],
        last=row["last_block"],
        last_at=int(row["last_block_at"].timestamp()),
        last_hash=row["last_block_hash"],
        next_at=int(row["next_block_at"].timestamp()),
        provider=row["provider"],
    )


def _memories(rows: Sequence[dict[str, Any]]) -> Checkpoints:
    found: dict[str, dict[int, dict[str, Market]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        market = Market(
            market_id=row["market_id"],
            loan=row["loan_asset"],
            collateral=row["collateral_asset"],
            oracle=row["oracle"],
            rate_model=row["rate_model"],
            lltv=int(row["lltv"]),
            collateral_raw=int(row["collateral_raw"]),
        )
        found[row["csu_id"]][row["observed_block"]][market.market_id] = market
    return {csu: [Memory(block, markets) for block, markets in of.items()] for csu, of in found.items()}
