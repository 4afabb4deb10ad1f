"""What every line of extraction does with its partitions: units side by side, each landed whole or not at all.

A unit says how its partitions are fetched and can travel: whoever fetches it, this process or a worker of a cluster
(`extract.engine`), does the same with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from extract.errors import ConfigError, ForeshoreError, StorageError
from extract.evm.redact import redact
from extract.land import land
from extract.ledger import COMPLETE, FAILED, LEDGER_TABLE, SOURCES_DOWN, LedgerRow, failed, ledger_table
from extract.tools import Tools

Fetched = tuple[dict[str, pa.Table], list[LedgerRow]]
Tell = Callable[[str, str], None]  # (about, message): what is odd about data that land all the same


class Unit(Protocol):
    """Partitions that are fetched and land together. It is pickled: it holds no client and no secret."""

    async def fetch(self, tools: Tools, tell: Tell) -> Fetched:
        """Their rows and filled ledger rows. ForeshoreError and OSError become failed ledger rows."""
        ...


@dataclass(frozen=True)
class Step:
    """One line of progress: planned, outdated, odd, cluster, done or failed; with units done so far of all."""

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
    waiting: int = 0  # of the complete ones: landed, but a source was down and the next run completes them
    skipped: int = 0
    rows: int = 0
    calls: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 2 partial, 3 nothing to do."""
        if self.failed:
            return 2 if self.complete or self.skipped else 1
        if self.waiting:
            return 2
        return 0 if self.complete else 3

    def count(self, rows: Sequence[LedgerRow]) -> None:
        for row in rows:
            self.calls += row.calls
            self.rows += row.rows
            self.complete += row.status == COMPLETE
            self.failed += row.status == FAILED
            self.waiting += row.status == COMPLETE and row.error_class == SOURCES_DOWN
            if row.status == FAILED or row.error_class == SOURCES_DOWN:
                self.errors.append(f"{row.partition.partition_id}: {row.error_message}")


@dataclass(frozen=True)
class Job:
    """The ledger rows that a unit fills. `make` makes it when its turn comes, in the process that plans."""

    name: str
    due: Sequence[LedgerRow]
    make: Callable[[], Awaitable[Unit]]


Report = Callable[[Step], None]


class Engine(Protocol):
    """Who does the work: this process, or a cluster."""

    @property
    def at_once(self) -> int:
        """How many jobs may be under way."""
        ...

    async def complete(self, source: str, job: Job, tell: Tell) -> list[LedgerRow]:
        """A job's ledger rows, which have landed with its rows. Errors: StorageError, ConfigError."""
        ...


async def run_jobs(engine: Engine, source: str, jobs: Sequence[Job], outcome: Outcome, report: Report) -> None:
    """Every job, as many at once as the engine takes; a job that fails leaves failed ledger rows."""
    slots, done = asyncio.Semaphore(engine.at_once), 0

    def tell(about: str, message: str) -> None:
        report(Step("odd", about, message=message))

    async def work(job: Job) -> None:
        nonlocal done
        async with slots:
            rows = await engine.complete(source, job, tell)
            done += 1
            outcome.count(rows)
            bad = dict.fromkeys(row.error_message or "" for row in rows if row.status == FAILED)
            landed = sum(row.rows for row in rows)
            report(Step("failed" if bad else "done", job.name, len(jobs), done, landed, "; ".join(bad)))

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(work(job))


async def fetch_and_land(tools: Tools, source: str, job: Job, tell: Tell) -> list[LedgerRow]:
    """Fetch a job's unit with these tools and land what came, also where that is only why it failed."""

    async def fetch() -> Fetched:
        return await (await job.make()).fetch(tools, tell)

    fetched = await attempt(job.due, fetch)
    return await land_rows(tools, source, fetched)


async def attempt(due: Sequence[LedgerRow], fetch: Callable[[], Awaitable[Fetched]]) -> Fetched:
    """What the chain or a provider did wrong becomes failed ledger rows; what the house did is raised."""
    try:
        return await fetch()
    except (StorageError, ConfigError):
        raise
    except (ForeshoreError, OSError) as error:
        return {}, [failed(row, error, redact(str(error))) for row in due]


async def land_rows(tools: Tools, source: str, fetched: Fetched) -> list[LedgerRow]:
    """Commit rows with their ledger rows as one load package."""
    tables, rows = fetched
    async with tools.landing:
        await asyncio.to_thread(land, tools.lake, source, {**tables, LEDGER_TABLE: ledger_table(rows)})
    return rows
