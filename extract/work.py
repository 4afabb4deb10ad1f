"""What every line of extraction does with its partitions: jobs side by side, each landed whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from extract.errors import ConfigError, ForeshoreError, StorageError
from extract.evm.redact import redact
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, FAILED, LEDGER_TABLE, SOURCES_DOWN, LedgerRow, failed, ledger_table

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
    """Partitions that are fetched and land together."""

    name: str
    due: Sequence[LedgerRow]
    fetch: Callable[[Sequence[LedgerRow]], Awaitable[Fetched]]


Report = Callable[[Step], None]


async def run_jobs(
    lake: Lake, source: str, jobs: Sequence[Job], workers: int, outcome: Outcome, report: Report
) -> None:
    """Fetch up to `workers` jobs at once and land each as it comes; a job that fails leaves failed ledger rows."""
    slots, landing, done = asyncio.Semaphore(workers), asyncio.Lock(), 0

    async def work(job: Job) -> None:
        nonlocal done
        async with slots:
            tables, rows = await attempt(job)
            async with landing:
                await asyncio.to_thread(land, lake, source, {**tables, LEDGER_TABLE: ledger_table(rows)})
            done += 1
            outcome.count(rows)
            bad = dict.fromkeys(row.error_message or "" for row in rows if row.status == FAILED)
            landed = sum(row.rows for row in rows)
            report(Step("failed" if bad else "done", job.name, len(jobs), done, landed, "; ".join(bad)))

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(work(job))


async def attempt(job: Job) -> Fetched:
    """Fetch a job. What the chain or a provider did wrong becomes failed ledger rows; what the house did is raised."""
    try:
        return await job.fetch(job.due)
    except (StorageError, ConfigError):
        raise
    except (ForeshoreError, OSError) as error:
        return {}, [failed(row, error, redact(str(error))) for row in job.due]
