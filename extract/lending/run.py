"""Run the lending line: what is due, by chain and day, landed as it comes; a kill loses at most what was in flight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.changed import changed_partitions
from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.config import load_chains
from extract.integrity import prepare
from extract.lake import Lake
from extract.ledger import Ledger, LedgerRow
from extract.lending.cost import Period, measure
from extract.lending.engine import Prepare, dask_engine, pricer_of
from extract.lending.families import FAMILIES
from extract.lending.families.base import Market, Memory
from extract.lending.fetch import Known, fetch, has_only_prices
from extract.lending.history import Histories
from extract.lending.plan import (
    PRICES,
    SOURCE,
    Plan,
    Request,
    Scope,
    Unit,
    asked_days,
    by_chain,
    has_provider,
    make_plan,
    make_scope,
)
from extract.lending.tables import DAYS, LENDING_TABLES, MARKETS
from extract.lending.tables import PRICES as PRICES_SCHEMA
from extract.lending.visits import DayBlocks
from extract.work import Fetched, Job, Outcome, Report, Step, run_jobs

Clients = dict[str, ChainClient | ForeshoreError]
Work = Callable[[Unit], Awaitable[Fetched]]
Checkpoints = dict[str, list[Memory]]  # of CSUs whose markets logs tell, by CSU


async def extract_lending(config: Config, request: Request, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it. Raises what no partition is to blame for (storage, configuration)."""
    lake, outcome = Lake.of(config), Outcome()
    scope = make_scope(config, request)
    with lake.lock():
        prepare(lake, LENDING_TABLES)
        async with _clients(config, scope) as clients:
            ledger = Ledger.read(lake)
            plan = make_plan(config, request, scope, ledger, run_id, await _changed(clients, ledger))
            known = read_known(lake, plan, ledger, request.resume)
            outcome.skipped = plan.skipped
            report(Step("planned", SOURCE, total=len(plan.units), message=_note(plan, scope)))
            histories = _histories(known, plan, report)
            async with _engine(config, request, clients, _preparing(clients, known, histories)) as work:
                jobs = [_job(unit, clients[unit.chain], work) for unit in plan.units]
                await run_jobs(lake, SOURCE, jobs, request.workers, outcome, report)
    return outcome


async def measure_periods(config: Config, request: Request) -> dict[str, Period]:
    """The blocks of the days asked for, of every chain that has a provider and answers. A dozen headers each."""
    days = asked_days(config, request)
    chains = {chain: csus for chain, csus in by_chain(config, request).items() if has_provider(config, chain)}
    found: dict[str, Period] = {}
    async with _clients(config, Scope(chains, tuple(days))) as clients:
        for chain, client in clients.items():
            if isinstance(client, ChainClient):
                try:
                    found[chain] = await measure(client, days)
                except ForeshoreError:
                    continue  # a plan does not fail for a chain that does not answer: it says that it assumed
    return found


def _note(plan: Plan, scope: Scope) -> str:
    without = f"; chains without a provider: {', '.join(scope.unconfigured)}" if scope.unconfigured else ""
    return f"{plan.skipped} partitions are complete{without}"


def _job(unit: Unit, client: ChainClient | ForeshoreError, work: Work) -> Job:
    async def run(_: Sequence[LedgerRow]) -> Fetched:
        if isinstance(client, ForeshoreError):
            raise client
        return await work(unit)

    return Job(unit.name, list(unit.due.values()), run)


@asynccontextmanager
async def _clients(config: Config, scope: Scope) -> AsyncIterator[Clients]:
    """An open client per chain, or the reason why its partitions must fail; one chain that is down stops no other."""
    specs = load_chains(config.section("chains"), config.environ)
    cache = config.root / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    clients: Clients = {}
    async with AsyncExitStack() as stack:
        for chain in scope.chains:
            spec = specs[chain]
            try:
                opened = ChainClient.open(spec, cache / f"chain-{spec.chain_id}.json")
                clients[chain] = await stack.enter_async_context(opened)
            except ForeshoreError as error:
                clients[chain] = error
        yield clients


async def _changed(clients: Clients, ledger: Ledger) -> frozenset[str]:
    found: set[str] = set()
    for client in clients.values():
        if isinstance(client, ChainClient):
            found |= await changed_partitions(client, ledger, client.chain_id, await client.finalized())
    return frozenset(found)


@asynccontextmanager
async def _engine(config: Config, request: Request, clients: Clients, know: Prepare) -> AsyncIterator[Work]:
    """How a unit is fetched: in this process, or by the workers of a Dask cluster."""
    if request.engine == "dask":
        async with dask_engine(config, request, know) as work:
            yield work
        return
    pricers = {c: pricer_of(config, c, client) for c, client in clients.items() if isinstance(client, ChainClient)}

    async def work_here(unit: Unit) -> Fetched:
        pricer = pricers[unit.chain]
        return await fetch(pricer.client, pricer, unit, await know(unit))

    yield work_here


def _histories(known: tuple[Known, Checkpoints], plan: Plan, report: Report) -> Histories:
    """Each CSU's history is read from before the first day that is due."""
    floors: dict[str, int] = {}
    for unit in plan.units:
        for csu in unit.csus:
            floors[csu.csu_id] = min(unit.day.start - 1, floors.get(csu.csu_id, unit.day.start - 1))

    def say(text: str) -> None:
        report(Step("history", text, total=len(plan.units)))

    return Histories(known[1], floors, say)


def _preparing(clients: Clients, known: tuple[Known, Checkpoints], histories: Histories) -> Prepare:
    async def know(unit: Unit) -> Known:
        client = clients[unit.chain]
        if isinstance(client, ForeshoreError):
            raise client
        read = [csu for csu in unit.csus if unit.kinds(csu) and not has_only_prices(unit, csu, known[0])]
        memories, broken = await histories.before(client, read, unit.day)
        return replace(known[0].for_unit(unit, client.chain_id), memories=memories, broken=broken)

    return know


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
