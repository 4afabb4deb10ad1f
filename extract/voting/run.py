"""Run the voting line: fetch what is due, land each unit on its own; a kill loses at most those in flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from extract.config import Config
from extract.engine import open_engine
from extract.evm.client import ChainClient
from extract.evm.config import has_keys
from extract.evm.views import word
from extract.integrity import prepare
from extract.ledger import Ledger, LedgerRow, failed, now
from extract.prices import ask_sources
from extract.tools import Tools
from extract.voting.decode import epoch_table, feed_price, merge, voter_tables, window_tables
from extract.voting.epochs import spoken
from extract.voting.events import Emitters, Stamp, recounted, scan
from extract.voting.names import PoolNames, read_names
from extract.voting.plan import (
    SOURCE,
    ChainRun,
    Reading,
    Request,
    anchor_timelines,
    chain_runs,
    event_partition,
    reading_of,
    state_partitions,
    told_apart,
    untold_events,
    untold_partition,
    wanted_chains,
)
from extract.voting.pools import sale
from extract.voting.pricing import PriceQuote
from extract.voting.state import BlockState, StateError, read_bribes, read_places, read_states
from extract.voting.tables import VOTING_TABLES
from extract.voting.timeline import Timeline, Untold
from extract.voting.voters import PlannedVoter, read_voters
from extract.work import Engine, Fetched, Job, Outcome, Report, Step, Tell, Unit, run_jobs

GROUPS = ("state", "voters")  # partitions that are read at a window's block


async def extract_voting(config: Config, request: Request, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it. Raises what no partition is to blame for (storage, configuration)."""
    outcome, needs = Outcome(), [partial(has_keys, chains=wanted_chains(config, request))]
    async with Tools(config) as tools:
        with tools.lake.lock():
            prepare(tools.lake, VOTING_TABLES)
            ledger = Ledger.read(tools.lake)
            async with open_engine(config, request.where, request.workers, tools, report, needs) as engine:
                async for chain in chain_runs(tools, request, ledger, run_id):
                    await _run_chain(chain, engine, outcome, report)
    return outcome


async def _run_chain(chain: ChainRun, engine: Engine, outcome: Outcome, report: Report) -> None:
    jobs = await _jobs(chain, outcome)
    report(Step("planned", chain.spec.name, total=len(jobs), message=f"{outcome.skipped} partitions are complete"))
    asked = {row.partition.partition_id for job in jobs for row in job.due}
    if outdated := sorted(chain.changed - asked):
        message = (
            f"{len(outdated)} partitions not asked for were read from blocks that have changed since: {outdated[0]} .."
        )
        report(Step("outdated", chain.spec.name, total=len(jobs), message=message))
    await run_jobs(engine, SOURCE, jobs, outcome, report)


async def _jobs(chain: ChainRun, outcome: Outcome) -> list[Job]:
    jobs = []
    for epoch, timelines, untold in await chain.timelines():
        jobs += [_state_job(chain, timeline, outcome) for timeline in timelines]
        jobs += [_untold_job(untold_partition(chain, one)[1], one) for one in untold]
        events = _untold_job(untold_events(chain, epoch)[1], untold[0]) if untold else None
        jobs.append(events or _event_job(chain, epoch, timelines, outcome))
    anchors, untold = told_apart(await anchor_timelines(chain))
    jobs += [_state_job(chain, t, outcome, with_epoch=False) for t in anchors]
    jobs += [_untold_job(untold_partition(chain, one)[1], one) for one in untold]
    return [job for job in jobs if job.due]


def _untold_job(row: LedgerRow, untold: Untold) -> Job:
    """A partition that fails, and says why: its blocks cannot be told."""

    async def make() -> Unit:
        raise untold.error

    return Job(f"{untold.protocol.name} {spoken(untold.epoch)}", [row], make)


@dataclass(frozen=True)
class States:
    """The due windows of an epoch of an exchange."""

    timeline: Timeline
    due: tuple[LedgerRow, ...]
    voters: tuple[PlannedVoter, ...]

    async def fetch(self, tools: Tools, _: Tell) -> Fetched:
        chain = reading_of(tools.config, await tools.chain(self.timeline.protocol.chain))
        return await _fetch_states(chain, self.timeline, self.due, self.voters)


@dataclass(frozen=True)
class Events:
    """A chain's scan of an epoch, first and last block included."""

    chain: str
    epoch: int
    timelines: tuple[Timeline, ...]
    row: LedgerRow
    blocks: tuple[int, int]

    async def fetch(self, tools: Tools, _: Tell) -> Fetched:
        return await _fetch_events(await tools.chain(self.chain), self.epoch, self.timelines, self.row, self.blocks)


def _state_job(chain: ChainRun, timeline: Timeline, outcome: Outcome, with_epoch: bool = True) -> Job:
    found = [row for p, row in state_partitions(chain, timeline) if with_epoch or p.table_group in GROUPS]
    due = [row for row in found if row is not None]
    outcome.skipped += len(found) - len(due)

    async def make() -> States:
        return States(timeline, tuple(due), chain.voters[timeline.protocol.name])

    return Job(f"{timeline.protocol.name} {spoken(timeline.epoch)}", due, make)


async def _fetch_states(
    chain: Reading, timeline: Timeline, wanted: Sequence[LedgerRow], planned: Sequence[PlannedVoter]
) -> Fetched:
    """The due windows of an epoch: one reading per distinct block, one set of rows per window."""
    due = {(r.partition.table_group, r.partition.window): r for r in wanted}
    points = [p for p in timeline.points if {(g, p.window.decision_window) for g in GROUPS} & due.keys()]
    blocks = [p.observed.number for p in points]
    states = await read_places(chain.client, timeline.protocol, timeline.epoch, blocks, timeline.start_block)
    whole = {p.observed.number for p in points if ("state", p.window.decision_window) in due}
    await read_states(chain.client, timeline.protocol, chain.feeds, chain.pools, [states[b] for b in sorted(whole)])
    await quote(chain, {n: states[n] for n in whole}, {p.observed.number: p.observed.timestamp for p in points})
    earliest = max(timeline.points, key=lambda p: p.window.seconds_before, default=None)
    named = states.get(earliest.observed.number) if earliest and earliest.observed.number in whole else None
    names = await read_names(chain.client, named) if named and named.problem is None else PoolNames()
    asked = {p.observed.number for p in points if ("voters", p.window.decision_window) in due}
    voters = await read_voters(chain.client, timeline.protocol, planned, [states[block] for block in sorted(asked)])
    parts: list[dict[str, pa.Table]] = []
    rows: list[LedgerRow] = []
    unpaid = set(states)
    for point in points:
        state = states[point.observed.number]
        for group in GROUPS:
            row = due.get((group, point.window.decision_window))
            if row is None:
                continue
            if state.problem is not None:
                rows.append(failed(row, StateError(), state.problem))
                continue
            where, partition_id = (timeline, chain.spec.chain_id, point, state), row.partition.partition_id
            parts.append(
                window_tables(
                    *where,
                    chain.feeds,
                    chain.price_rules,
                    names if point is earliest else PoolNames(),
                    partition_id,
                    now(),
                )
                if group == "state"
                else voter_tables(*where, voters[state.block], partition_id, now())
            )
            calls = state.calls if state.block in unpaid else 0
            unpaid.discard(state.block)
            rows.append(_filled(row, parts[-1], calls, _provider(state)))
    for row in (r for r in wanted if r.partition.table_group == "epoch"):
        provider = next((_provider(state) for state in states.values()), chain.spec.providers[0].name)
        parts.append(
            {"voting_epochs": epoch_table(timeline, chain.spec.chain_id, row.partition.partition_id, provider, now())}
        )
        rows.append(_filled(row, parts[-1], 0, provider))
    return merge(parts), rows


async def quote(chain: Reading, states: Mapping[int, BlockState], times: Mapping[int, int]) -> None:
    """Every quote of what no feed on the chain prices, as of each block's own time; and what pools say of a sale."""
    for state in states.values():
        moment = times[state.block]
        prices = {t: feed_price(t, state, chain.feeds, moment)["price_usd"] for t in (*state.decimals, *state.rounds)}
        unpriced = [t for t in state.decimals if prices[t] is None]
        for source in chain.price_sources if unpriced else ():
            for token, found in (await ask_sources([source], unpriced, moment)).items():
                quote = PriceQuote(found.source, "reference", found.price_usd, found.updated_at)
                state.quotes.setdefault(token, []).append(quote)
        for pool, replies in state.sales.items():
            mine, other = word(state.decimals[pool.token]), word(state.quote_decimals[pool.quote])
            usd = prices.get(pool.quote)
            if mine is None or other is None or usd is None:
                continue
            if sold := sale(pool, replies, (mine, other), usd, chain.sale_usd, moment):
                state.quotes.setdefault(pool.token, []).append(sold)


def _provider(state: BlockState) -> str:
    return state.totals["length"].provider


def _filled(row: LedgerRow, tables: Mapping[str, pa.Table], calls: int, provider: str) -> LedgerRow:
    return replace(
        row,
        finished_at=now(),
        rows=sum(table.num_rows for table in tables.values()),
        bytes=sum(table.nbytes for table in tables.values()),
        calls=calls,
        provider=provider,
    )


def _event_job(chain: ChainRun, epoch: int, timelines: Sequence[Timeline], outcome: Outcome) -> Job:
    _, row, blocks = event_partition(chain, epoch, timelines)
    outcome.skipped += row is None

    due = [row] if row else []

    async def make() -> Events:
        return Events(chain.spec.name, epoch, tuple(timelines), due[0], blocks)

    return Job(f"{chain.spec.name} events {spoken(epoch)}", due, make)


async def _fetch_events(
    client: ChainClient, epoch: int, timelines: Sequence[Timeline], row: LedgerRow, blocks: tuple[int, int]
) -> Fetched:
    first, last = blocks
    emitters = [
        Emitters(t.protocol, await read_bribes(client, t.protocol, epoch, [max(first - 1, 0), last])) for t in timelines
    ]
    stamp = Stamp(client.chain_id, epoch, row.partition.partition_id, now())
    table, chunks, provider = await scan(client, emitters, stamp, first, last)
    if further := _unseen_bribes(table, emitters):
        table, more, provider = await scan(client, further, stamp, first, last)
        chunks += more
    tables = {"voting_events": recounted(table, emitters)}
    return tables, [_filled(row, tables, chunks, provider)]


def _unseen_bribes(events: pa.Table, emitters: Sequence[Emitters]) -> list[Emitters]:
    """Emitters with the bribes that were set and replaced within the scan; empty where there were none such."""
    replaced = events.filter(pc.equal(events["event_kind"], "bribe_replaced")).to_pylist()
    found, is_new = [], False
    for of in emitters:
        bribes = dict(of.bribes)
        for row in (r for r in replaced if r["protocol"] == of.protocol.name):
            kind = row["bribe_kind"] or bribes.get(row["token_address"], (None, None))[1]
            if kind is not None:
                key = (row["gauge_address"], kind)
                bribes = {row["actor"]: key, row["token_address"]: key} | bribes
        is_new |= bribes.keys() != of.bribes.keys()
        found.append(Emitters(of.protocol, bribes))
    return found if is_new else []
