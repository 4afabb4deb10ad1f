"""Who does the work of a run: this process, or the workers of a Dask cluster. The same units, the same rows."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from extract.cluster import Cluster, open_cluster
from extract.config import Config
from extract.ledger import LedgerRow
from extract.tools import Tools
from extract.where import Where
from extract.work import Engine, Fetched, Job, Report, Step, Tell, Unit, attempt, fetch_and_land, land_rows
from extract.worker import Order, Terms, fill, for_travel, mark


@dataclass(frozen=True)
class Here:
    """This process."""

    tools: Tools
    at_once: int

    async def complete(self, source: str, job: Job, tell: Tell) -> list[LedgerRow]:
        return await fetch_and_land(self.tools, source, job, tell)


@dataclass(frozen=True)
class There:
    """A cluster: units are made here, where what they stand on is known; workers fetch and land them."""

    cluster: Cluster
    tools: Tools
    terms: Terms
    at_once: int

    async def complete(self, source: str, job: Job, tell: Tell) -> list[LedgerRow]:
        landed: list[LedgerRow] | None = None

        async def fetch() -> Fetched:
            nonlocal landed
            unit: Unit = await job.make()
            landed, notes = await self.cluster.run(fill, Order(self.terms, source, tuple(job.due), unit))
            for note in notes:
                tell(*note)
            return {}, []

        fetched = await attempt(job.due, fetch)
        return landed if landed is not None else await land_rows(self.tools, source, fetched)


@asynccontextmanager
async def open_engine(
    config: Config,
    where: Where,
    workers: int,
    tools: Tools,
    report: Report,
    needs: Sequence[Callable[[Config], object]] = (),
) -> AsyncIterator[Engine]:
    """The engine a run asked for. `needs`: as `open_workers`. Errors: ConfigError, ClusterError."""
    if not where.is_cluster:
        yield Here(tools, workers)
        return
    async with open_workers(config, where, workers, tools, report, needs) as (cluster, terms):
        yield There(cluster, tools, terms, max(32, 4 * workers))


@asynccontextmanager
async def open_workers(
    config: Config,
    where: Where,
    workers: int,
    tools: Tools,
    report: Report,
    needs: Sequence[Callable[[Config], object]] = (),
) -> AsyncIterator[tuple[Cluster, Terms]]:
    """A cluster whose workers see this raw zone. `needs`: what each must be able to do with its own environment; one
    whose ForeshoreError says that it cannot gets no work. Errors: ConfigError, ClusterError.
    """
    terms = Terms(secrets.token_hex(8), for_travel(config), tuple(needs))

    def say(text: str) -> None:
        report(Step("cluster", text))

    with mark(tools.lake, terms.run):
        async with open_cluster(where, workers, terms, tools.share, say) as cluster:
            yield cluster, terms
