"""A day of the Polymarket line, fetched and landed by this process or one worker of a cluster: it is one listing."""

from __future__ import annotations

import asyncio
from datetime import date
from functools import partial
from typing import Any

from extract.config import Config
from extract.engine import open_workers
from extract.markets.config import load_polymarket
from extract.markets.daily import DayIngest, ingest_day
from extract.tools import Tools
from extract.where import Where
from extract.work import Report, Step
from extract.worker import own


async def ingest(
    config: Config, where: Where, day: tuple[date, int], run_id: str, report: Report, **asked: Any
) -> DayIngest:
    """The snapshot of `day` (run date, window in days), as `extract.markets.daily.ingest_day` takes and lands it."""
    if not where.is_cluster:
        return await ingest_day(config, *day, run_id, report, **asked)
    async with (
        Tools(config) as tools,
        open_workers(config, where, 1, tools, report, [has_polymarket]) as (cluster, terms),
    ):
        made, steps = await cluster.run(_ingest_there, terms.config, day, run_id, asked)
    for step in steps:
        report(step)
    return made


def has_polymarket(config: Config) -> None:
    """Errors: ConfigError where the source is not configured."""
    load_polymarket(config.section("polymarket"))


def _ingest_there(
    config: Config, day: tuple[date, int], run_id: str, asked: dict[str, Any]
) -> tuple[DayIngest, list[Step]]:
    steps: list[Step] = []
    work = partial(ingest_day, own(config), *day, run_id, steps.append, **asked)
    return asyncio.run(work()), steps
