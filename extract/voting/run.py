"""Plan and run the voting line: timelines, state partitions per decision window, one event scan per chain and epoch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from extract.config import Config
from extract.errors import ConfigError, ForeshoreError, StorageError
from extract.evm.blocks import Block
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, load_chains
from extract.evm.redact import redact
from extract.land import Lake, land
from extract.ledger import (
    COMPLETE,
    FAILED,
    LEDGER_SCHEMA,
    LEDGER_TABLE,
    Ledger,
    LedgerRow,
    Partition,
    failed,
    fingerprint,
    ledger_table,
    now,
)
from extract.seeds import WEEK, DecisionWindow, decision_windows
from extract.voting.decode import epoch_table, merge, window_tables
from extract.voting.epochs import requested_epochs, spoken
from extract.voting.events import Emitters, scan
from extract.voting.families import Protocol, load_protocols
from extract.voting.state import BlockState, read_bribes, read_states, word
from extract.voting.tables import VOTING_TABLES
from extract.voting.timeline import OPEN, Timeline, resolve

SOURCE = "voting"
CODE_VERSION = 1  # raise it when the same chain would land other rows: every partition is then fetched anew
CALLS_PER_GAUGE = 23  # view calls for one gauge at one block in the embedded world; only the plan's first guess


@dataclass(frozen=True)
class Request:
    """What was asked for; `since` and `until` are vote epoch starts in unix seconds."""

    epochs: int | None = None
    since: int | None = None
    until: int | None = None
    protocols: tuple[str, ...] = ()
    resume: bool = True
    workers: int = 4


@dataclass(frozen=True)
class Step:
    """One line of progress: a unit was planned, done, or failed."""

    kind: str
    unit: str
    total: int = 0
    done: int = 0
    rows: int = 0
    message: str = ""


@dataclass
class Outcome:
    """Counts of partitions over a run; `exit_code` as the command line gives it."""

    complete: int = 0
    failed: int = 0
    skipped: int = 0
    rows: int = 0
    calls: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if self.failed:
            return 2 if self.complete or self.skipped else 1
        return 0 if self.complete else 3


@dataclass(frozen=True)
class PlannedPartition:
    """A partition of the plan: whether it is due, and what it would cost."""

    partition: Partition
    is_due: bool
    calls: int
    why: str


Report = Callable[[Step], None]


@dataclass(frozen=True)
class _Job:
    """Work that lands together: some partitions and the coroutine that fetches them."""

    name: str
    due: Mapping[str, LedgerRow]
    fetch: Callable[[Mapping[str, LedgerRow]], Awaitable[tuple[dict[str, pa.Table], list[LedgerRow]]]]


@dataclass(frozen=True)
class _Chain:
    """A chain's open client with what this run knows about it."""

    client: ChainClient
    spec: ChainSpec
    protocols: tuple[Protocol, ...]
    windows: tuple[DecisionWindow, ...]
    feeds: Mapping[str, str]
    final: Block
    epochs: tuple[int, ...]
    ledger: Ledger
    changed: frozenset[str]
    run_id: str
    resume: bool

    def due(self, partition: Partition, wanted: str, **facts: Any) -> LedgerRow | None:
        """The ledger row to fill if the partition must be fetched; None when it is complete and unchanged."""
        done = self.ledger.complete_row(partition, wanted)
        if self.resume and done is not None and partition.partition_id not in self.changed:
            return None
        moment = now()
        return LedgerRow(
            partition=partition,
            status=COMPLETE,
            fingerprint=wanted,
            run_id=self.run_id,
            started_at=moment,
            finished_at=moment,
            attempts=self.ledger.next_attempt(partition),
            chain_id=self.spec.chain_id,
            **facts,
        )


async def extract_voting(config: Config, request: Request, run_id: str, report: Report) -> Outcome:
    """Fetch what is missing and land it; every unit commits on its own, so a kill loses at most the units in flight."""
    lake, outcome = Lake(config.raw_url), Outcome()
    with lake.lock():
        lake.declare({**VOTING_TABLES, LEDGER_TABLE: LEDGER_SCHEMA})
        lake.sweep()
        ledger = Ledger.read(lake)
        async for chain in _chains(config, request, ledger, run_id):
            await _run_chain(chain, lake, request.workers, outcome, report)
    return outcome


async def plan_voting(config: Config, request: Request) -> list[PlannedPartition]:
    """What a run would do, without landing anything: partitions, whether they are due, estimated calls."""
    lake = Lake(config.raw_url)
    ledger, planned = Ledger.read(lake), []
    async for chain in _chains(config, request, ledger, "plan"):
        sizes = await _gauge_counts(chain)
        for epoch in chain.epochs:
            timelines = await _timelines(chain, epoch)
            for timeline in timelines:
                for partition, row in _state_partitions(chain, timeline):
                    calls = CALLS_PER_GAUGE * sizes[timeline.protocol.name] if partition.table_group == "state" else 0
                    planned.append(_planned(partition, row, calls, chain))
            partition, row = await _event_partition(chain, epoch, timelines)
            calls = await chain.client.plan_logs(row.from_block, row.to_block) if row and row.from_block is not None and row.to_block is not None else 0
            planned.append(_planned(partition, row, calls, chain))
    return planned


def _planned(partition: Partition, row: LedgerRow | None, calls: int, chain: _Chain) -> PlannedPartition:
    if row is None:
        return PlannedPartition(partition, False, 0, "complete")
    state = chain.ledger.state(partition)
    if state is None:
        why = "new"
    elif partition.partition_id in chain.changed:
        why = "block hash changed"
    elif state.is_failing:
        why = f"failed {state.attempts} times"
    else:
        why = "newer blocks or configuration" if chain.resume else "asked again"
    return PlannedPartition(partition, True, calls, why)


async def _gauge_counts(chain: _Chain) -> dict[str, int]:
    counts = {}
    for protocol in chain.protocols:
        states = await read_lengths(chain.client, protocol, chain.final.number)
        counts[protocol.name] = states
    return counts


async def read_lengths(client: ChainClient, protocol: Protocol, block: int) -> int:
    """How many pools a voter lists at a block (0 when it does not answer)."""
    from extract.voting.state import call

    replies = await client.read([call(protocol.voter, "length()")], block)
    return word(replies[0]) or 0


async def _chains(config: Config, request: Request, ledger: Ledger, run_id: str) -> AsyncIterator[_Chain]:
    """Each chain of the wanted protocols, opened, with the epochs asked for on it."""
    wanted = _wanted_protocols(config, request)
    specs = load_chains(config.section("chains"), config.environ)
    windows = tuple(decision_windows(config.seeds))
    for name in dict.fromkeys(p.chain for p in wanted):
        if name not in specs:
            raise ConfigError(f"{config.path}: protocol {wanted[0].name} names chain {name!r}, which [chains] does not have")
        async with _open(specs[name], config) as client:
            final = await client.finalized()
            of_chain = tuple(p for p in wanted if p.chain == name)
            yield _Chain(
                client=client,
                spec=specs[name],
                protocols=of_chain,
                windows=windows,
                feeds=_feeds(config, name),
                final=final,
                epochs=tuple(requested_epochs(final.timestamp, WEEK, request.epochs, request.since, request.until)),
                ledger=ledger,
                changed=await _changed_partitions(client, ledger, specs[name].chain_id, final),
                run_id=run_id,
                resume=request.resume,
            )


@asynccontextmanager
async def _open(spec: ChainSpec, config: Config) -> AsyncIterator[ChainClient]:
    cache = config.root / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    async with ChainClient.open(spec, cache / f"chain-{spec.chain_id}.json") as client:
        yield client


def _feeds(config: Config, chain: str) -> dict[str, str]:
    return {t.lower(): f.lower() for t, f in config.section("chains")[chain].get("feeds", {}).items()}


def _wanted_protocols(config: Config, request: Request) -> list[Protocol]:
    known = load_protocols(config.section("voting"))
    unknown = [name for name in request.protocols if name not in known]
    if unknown or not known:
        raise ConfigError(f"{config.path} has no [voting.{unknown[0] if unknown else 'NAME'}]; it has: {', '.join(known) or 'none'}")
    return [known[name] for name in (request.protocols or known)]


async def _changed_partitions(client: ChainClient, ledger: Ledger, chain_id: int, final: Block) -> frozenset[str]:
    """Partitions whose last block no longer has the hash it was read under: they are fetched again."""
    held = [
        (name, state.complete)
        for name, state in ledger.states.items()
        if state.complete and state.complete["chain_id"] == chain_id and state.complete["to_block_hash"]
    ]
    numbers = sorted({row["to_block"] for _, row in held if row["to_block"] <= final.number})
    hashes = {block.number: block.hash for block in await client.blocks(numbers, fresh=True)} if numbers else {}
    changed = frozenset(name for name, row in held if hashes.get(row["to_block"]) != row["to_block_hash"])
    if changed:
        client.forget_blocks()
    return changed


async def _timelines(chain: _Chain, epoch: int) -> list[Timeline]:
    return [await resolve(chain.client, p, epoch, chain.windows, chain.final) for p in chain.protocols]


def _state_partitions(chain: _Chain, timeline: Timeline) -> list[tuple[Partition, LedgerRow | None]]:
    """Every partition of an epoch of a protocol, with the row to fill where it is due."""
    protocol = timeline.protocol
    key = f"{protocol.name}/{timeline.epoch}"
    base = {"version": CODE_VERSION, "protocol": protocol.facts(), "feeds": dict(chain.feeds)}
    flip = timeline.flip.number if timeline.flip else None
    whole = Partition(SOURCE, "epoch", key, "all")
    wanted = fingerprint(base | {"status": timeline.status, "flip": flip})
    last = timeline.flip or timeline.boundary_block
    facts = {"to_block": last.number, "to_block_hash": last.hash} if last else {}
    found: list[tuple[Partition, LedgerRow | None]] = [(whole, chain.due(whole, wanted, **facts))]
    for point in timeline.points:
        partition = Partition(SOURCE, "state", key, point.window.decision_window)
        wanted = fingerprint(base | {"decision": point.decision.number, "observed": point.observed.number})
        row = chain.due(partition, wanted, to_block=point.observed.number, to_block_hash=point.observed.hash)
        found.append((partition, row))
    return found


async def _event_partition(chain: _Chain, epoch: int, timelines: Sequence[Timeline]) -> tuple[Partition, LedgerRow | None]:
    """The chain's event scan of an epoch: from its first flip to its last, or to the final head while open."""
    partition = Partition(SOURCE, "events", f"{chain.spec.name}/{epoch}", "all")
    first = min(t.start_block for t in timelines)
    ends = [t.flip if t.flip else chain.final for t in timelines]
    end = max(ends, key=lambda block: block.number)
    base = {"version": CODE_VERSION, "protocols": [t.protocol.facts() for t in timelines]}
    wanted = fingerprint(base | {"from": first, "to": end.number})
    row = chain.due(partition, wanted, from_block=first, to_block=end.number, to_block_hash=end.hash)
    return partition, row


async def _run_chain(chain: _Chain, lake: Lake, workers: int, outcome: Outcome, report: Report) -> None:
    jobs = await _jobs(chain, outcome)
    report(Step("planned", chain.spec.name, total=len(jobs), message=f"{outcome.skipped} partitions complete"))
    slots, landing = asyncio.Semaphore(workers), asyncio.Lock()
    done = 0

    async def work(job: _Job) -> None:
        nonlocal done
        async with slots:
            tables, rows = await _attempt(job)
            async with landing:
                await asyncio.to_thread(land, lake, SOURCE, {**tables, LEDGER_TABLE: ledger_table(rows)})
            done += 1
            _count(outcome, rows)
            bad = [r.error_message or "" for r in rows if r.status == FAILED]
            landed = sum(r.rows for r in rows)
            report(Step("failed" if bad else "done", job.name, len(jobs), done, landed, "; ".join(dict.fromkeys(bad))))

    tasks = [asyncio.create_task(work(job)) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _count(outcome: Outcome, rows: Sequence[LedgerRow]) -> None:
    for row in rows:
        outcome.calls += row.calls
        outcome.rows += row.rows
        if row.status == COMPLETE:
            outcome.complete += 1
        else:
            outcome.failed += 1
            outcome.errors.append(f"{row.partition.partition_id}: {row.error_message}")


async def _attempt(job: _Job) -> tuple[dict[str, pa.Table], list[LedgerRow]]:
    """Fetch a job; an error of the chain becomes failed ledger rows, an error of the house is raised."""
    try:
        return await job.fetch(job.due)
    except (StorageError, ConfigError):
        raise
    except (ForeshoreError, OSError) as error:
        return {}, [failed(row, error, redact(str(error))) for row in job.due.values()]


async def _jobs(chain: _Chain, outcome: Outcome) -> list[_Job]:
    jobs = []
    for epoch in chain.epochs:
        timelines = await _timelines(chain, epoch)
        for timeline in timelines:
            jobs.append(_state_job(chain, timeline, outcome))
        jobs.append(await _event_job(chain, epoch, timelines, outcome))
    jobs += [job for p in chain.protocols if not p.family.votes_reset_each_epoch for job in await _anchor_jobs(chain, p, outcome)]
    return [job for job in jobs if job.due]


async def _anchor_jobs(chain: _Chain, protocol: Protocol, outcome: Outcome) -> list[_Job]:
    """Where votes carry over, replaying the first epoch starts from the final state of the one before it."""
    epoch = chain.epochs[0] - WEEK
    timeline = await resolve(chain.client, protocol, epoch, [w for w in chain.windows if w.reads == "final"], chain.final)
    if not timeline.points:
        return []
    states = await read_bribes_or_none(chain, protocol, epoch, timeline)
    return [_state_job(chain, timeline, outcome)] if states else []


async def read_bribes_or_none(chain: _Chain, protocol: Protocol, epoch: int, timeline: Timeline) -> bool:
    """Whether the exchange was there in that epoch at all."""
    return await read_lengths(chain.client, protocol, timeline.points[0].observed.number) > 0


def _state_job(chain: _Chain, timeline: Timeline, outcome: Outcome) -> _Job:
    rows = _state_partitions(chain, timeline)
    due = {p.partition_id: row for p, row in rows if row is not None}
    outcome.skipped += len(rows) - len(due)

    async def fetch(wanted: Mapping[str, LedgerRow]) -> tuple[dict[str, pa.Table], list[LedgerRow]]:
        return await _fetch_states(chain, timeline, wanted)

    return _Job(f"{timeline.protocol.name} {spoken(timeline.epoch)}", due, fetch)


async def _fetch_states(
    chain: _Chain, timeline: Timeline, wanted: Mapping[str, LedgerRow]
) -> tuple[dict[str, pa.Table], list[LedgerRow]]:
    by_window = {row.partition.window: row for row in wanted.values() if row.partition.table_group == "state"}
    points = [p for p in timeline.points if p.window.decision_window in by_window]
    blocks = [p.observed.number for p in points]
    states = await read_states(chain.client, timeline.protocol, chain.feeds, timeline.epoch, blocks) if blocks else {}
    parts: list[dict[str, pa.Table]] = []
    rows: list[LedgerRow] = []
    paid: set[int] = set()
    for point in points:
        row, state = by_window[point.window.decision_window], states[point.observed.number]
        if state.problem is not None:
            rows.append(failed(row, ForeshoreError(), state.problem))
            continue
        tables = window_tables(
            timeline.protocol, chain.spec.chain_id, timeline.epoch, point, state, chain.feeds, row.partition.partition_id, now()
        )
        parts.append(tables)
        rows.append(_filled(row, tables, state.calls if state.block not in paid else 0, _provider(state)))
        paid.add(state.block)
    for row in wanted.values():
        if row.partition.table_group == "epoch":
            provider = chain.client.spec.providers[0].name if not states else _provider(next(iter(states.values())))
            table = {"voting_epochs": epoch_table(timeline, chain.spec.chain_id, row.partition.partition_id, provider, now())}
            parts.append(table)
            rows.append(_filled(row, table, 0, provider))
    return merge(parts), rows


def _provider(state: BlockState) -> str:
    return state.totals["length"].provider


def _filled(row: LedgerRow, tables: Mapping[str, pa.Table], calls: int, provider: str) -> LedgerRow:
    return replace(
        row,
        finished_at=now(),
        rows=sum(t.num_rows for t in tables.values()),
        bytes=sum(t.nbytes for t in tables.values()),
        calls=calls,
        provider=provider,
    )


async def _event_job(chain: _Chain, epoch: int, timelines: Sequence[Timeline], outcome: Outcome) -> _Job:
    partition, row = await _event_partition(chain, epoch, timelines)
    outcome.skipped += row is None

    async def fetch(wanted: Mapping[str, LedgerRow]) -> tuple[dict[str, pa.Table], list[LedgerRow]]:
        (todo,) = wanted.values()
        return await _fetch_events(chain, epoch, timelines, todo)

    due = {} if row is None else {partition.partition_id: row}
    return _Job(f"{chain.spec.name} events {spoken(epoch)}", due, fetch)


async def _fetch_events(
    chain: _Chain, epoch: int, timelines: Sequence[Timeline], row: LedgerRow
) -> tuple[dict[str, pa.Table], list[LedgerRow]]:
    start, end = row.from_block or 0, row.to_block or 0
    emitters = [
        Emitters(t.protocol, await read_bribes(chain.client, t.protocol, epoch, [max(start - 1, 0), end])) for t in timelines
    ]
    table, chunks, provider = await scan(chain.client, emitters, epoch, start, end, row.partition.partition_id, now())
    tables = {"voting_events": table}
    return tables, [_filled(row, tables, chunks, provider)]


def is_open(timeline: Timeline) -> bool:
    """Whether the epoch's boundary is not final yet."""
    return timeline.status == OPEN
