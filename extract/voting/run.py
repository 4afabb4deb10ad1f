"""Run the voting line: fetch what is due, land each unit on its own; a kill loses at most those in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from extract.catalog import RAW_TABLES
from extract.config import Config
from extract.errors import ConfigError, ForeshoreError, StorageError
from extract.evm.redact import redact
from extract.land import Lake, land
from extract.ledger import (
    COMPLETE,
    FAILED,
    LEDGER_TABLE,
    Ledger,
    LedgerRow,
    failed,
    ledger_table,
    now,
)
from extract.prices import ask_sources
from extract.voting.decode import epoch_table, feed_price, merge, window_tables
from extract.voting.epochs import spoken
from extract.voting.events import Emitters, Stamp, scan
from extract.voting.plan import (
    SOURCE,
    ChainRun,
    Request,
    anchor_timelines,
    chain_runs,
    event_partition,
    state_partitions,
)
from extract.voting.state import BlockState, StateError, read_bribes, read_states
from extract.voting.timeline import Timeline

Fetched = tuple[dict[str, pa.Table], list[LedgerRow]]


@dataclass(frozen=True)
class Step:
    """One line of progress: `planned`, `outdated`, `done` or `failed`, with units done so far of all."""

    kind: str
    unit: str
    total: int = 0
    done: int = 0
    rows: int = 0
    message: str = ""


@dataclass
class Outcome:
    """Counts of partitions over a run."""

    complete: int = 0
    failed: int = 0
    skipped: int = 0
    rows: int = 0
    calls: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 2 partial, 3 nothing to do."""
        if self.failed:
            return 2 if self.complete or self.skipped else 1
        return 0 if self.complete else 3

    def count(self, rows: Sequence[LedgerRow]) -> None:
        for row in rows:
            self.calls += row.calls
            self.rows += row.rows
            self.complete += row.status == COMPLETE
            self.failed += row.status == FAILED
            if row.status == FAILED:
                self.errors.append(f"{row.partition.partition_id}: {row.error_message}")


@dataclass(frozen=True)
class Job:
    """Partitions that are fetched and land together."""

    name: str
    due: Sequence[LedgerRow]
    fetch: Callable[[Sequence[LedgerRow]], Awaitable[Fetched]]


Report = Callable[[Step], None]


async def extract_voting(config: Config, request: Request, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it. Raises what no partition is to blame for (storage, configuration)."""
    lake, outcome = Lake(config.raw_url), Outcome()
    with lake.lock():
        lake.declare(RAW_TABLES)
        lake.sweep()
        ledger = Ledger.read(lake)
        async for chain in chain_runs(config, request, ledger, run_id):
            await _run_chain(chain, lake, request.workers, outcome, report)
    return outcome


async def _run_chain(chain: ChainRun, lake: Lake, workers: int, outcome: Outcome, report: Report) -> None:
    jobs = await _jobs(chain, outcome)
    report(Step("planned", chain.spec.name, total=len(jobs), message=f"{outcome.skipped} partitions are complete"))
    asked = {row.partition.partition_id for job in jobs for row in job.due}
    if outdated := sorted(chain.changed - asked):
        message = (
            f"{len(outdated)} partitions not asked for were read from blocks that have changed since: {outdated[0]} .."
        )
        report(Step("outdated", chain.spec.name, total=len(jobs), message=message))
    slots, landing, done = asyncio.Semaphore(workers), asyncio.Lock(), 0

    async def work(job: Job) -> None:
        nonlocal done
        async with slots:
            tables, rows = await _attempt(job)
            async with landing:
                await asyncio.to_thread(land, lake, SOURCE, {**tables, LEDGER_TABLE: ledger_table(rows)})
            done += 1
            outcome.count(rows)
            bad = dict.fromkeys(row.error_message or "" for row in rows if row.status == FAILED)
            landed = sum(row.rows for row in rows)
            report(Step("failed" if bad else "done", job.name, len(jobs), done, landed, "; ".join(bad)))

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(work(job))


async def _attempt(job: Job) -> Fetched:
    """Fetch a job. What the chain or a provider did wrong becomes failed ledger rows; what the house did is raised."""
    try:
        return await job.fetch(job.due)
    except (StorageError, ConfigError):
        raise
    except (ForeshoreError, OSError) as error:
        return {}, [failed(row, error, redact(str(error))) for row in job.due]


async def _jobs(chain: ChainRun, outcome: Outcome) -> list[Job]:
    jobs = []
    for epoch, timelines in await chain.timelines():
        jobs += [_state_job(chain, timeline, outcome) for timeline in timelines]
        jobs.append(_event_job(chain, epoch, timelines, outcome))
    jobs += [_state_job(chain, t, outcome, with_epoch=False) for t in await anchor_timelines(chain)]
    return [job for job in jobs if job.due]


def _state_job(chain: ChainRun, timeline: Timeline, outcome: Outcome, with_epoch: bool = True) -> Job:
    found = [row for p, row in state_partitions(chain, timeline) if with_epoch or p.table_group == "state"]
    due = [row for row in found if row is not None]
    outcome.skipped += len(found) - len(due)

    async def fetch(wanted: Sequence[LedgerRow]) -> Fetched:
        return await _fetch_states(chain, timeline, wanted)

    return Job(f"{timeline.protocol.name} {spoken(timeline.epoch)}", due, fetch)


async def _fetch_states(chain: ChainRun, timeline: Timeline, wanted: Sequence[LedgerRow]) -> Fetched:
    """The due windows of an epoch: one reading per distinct block, one set of rows per window."""
    protocol, by_window = (
        timeline.protocol,
        {r.partition.window: r for r in wanted if r.partition.table_group == "state"},
    )
    points = [p for p in timeline.points if p.window.decision_window in by_window]
    states = await read_states(chain.client, protocol, chain.feeds, timeline.epoch, [p.observed.number for p in points])
    await _quote(chain, states, {p.observed.number: p.observed.timestamp for p in points})
    parts: list[dict[str, pa.Table]] = []
    rows: list[LedgerRow] = []
    unpaid = set(states)
    for point in points:
        row, state = by_window[point.window.decision_window], states[point.observed.number]
        if state.problem is not None:
            rows.append(failed(row, StateError(), state.problem))
            continue
        parts.append(
            window_tables(timeline, chain.spec.chain_id, point, state, chain.feeds, row.partition.partition_id, now())
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


async def _quote(chain: ChainRun, states: Mapping[int, BlockState], times: Mapping[int, int]) -> None:
    """Ask the configured sources for what no feed on the chain prices, as of each block's own time."""
    for state in states.values() if chain.price_sources else ():
        unpriced = [
            t for t in state.decimals if feed_price(t, state, chain.feeds, times[state.block])["price_usd"] is None
        ]
        state.quotes = await ask_sources(chain.price_sources, unpriced, times[state.block])


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

    async def fetch(wanted: Sequence[LedgerRow]) -> Fetched:
        return await _fetch_events(chain, epoch, timelines, wanted[0], blocks)

    return Job(f"{chain.spec.name} events {spoken(epoch)}", [row] if row else [], fetch)


async def _fetch_events(
    chain: ChainRun, epoch: int, timelines: Sequence[Timeline], row: LedgerRow, blocks: tuple[int, int]
) -> Fetched:
    first, last = blocks
    emitters = [
        Emitters(t.protocol, await read_bribes(chain.client, t.protocol, epoch, [max(first - 1, 0), last]))
        for t in timelines
    ]
    stamp = Stamp(chain.spec.chain_id, epoch, row.partition.partition_id, now())
    table, chunks, provider = await scan(chain.client, emitters, stamp, first, last)
    tables = {"voting_events": table}
    return tables, [_filled(row, tables, chunks, provider)]
