"""Units on several processes or hosts: a Dask cluster fetches, this process lands. Same rows as one process.

Keys never travel: a worker reads the provider URLs from its own environment. A provider's rate is shared out evenly.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from extract.config import Config
from extract.errors import ConfigError
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, load_chains
from extract.lending.fetch import Known, fetch
from extract.lending.plan import AGE_CAP, Request, Unit, feeds
from extract.lending.pricing import Pricer
from extract.prices import LEAST_CONFIDENCE, load_price_sources
from extract.seeds import threshold
from extract.work import Fetched

Prepare = Callable[[Unit], Awaitable[Known]]  # what earlier runs and the chain's history know before a unit


def pricer_of(config: Config, chain: str, client: ChainClient) -> Pricer:
    """The feeds and sources of a chain, as configured."""
    tables, least = config.section("chains")[chain].get("price_sources"), threshold(config.seeds, LEAST_CONFIDENCE)
    sources = load_price_sources(chain, tables, config.environ, least)
    return Pricer(client, feeds(config, chain), sources, int(threshold(config.seeds, AGE_CAP)))


@asynccontextmanager
async def dask_engine(
    config: Config, request: Request, prepare: Prepare
) -> AsyncIterator[Callable[[Unit], Awaitable[Fetched]]]:
    """Fetch units on a cluster: a scheduler's address, hosts over SSH, or processes of this machine."""
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--engine dask needs the extra: pip install 'foreshore[dask]'") from None
    public = replace(config, environ={})
    connect: Any = Client
    async with _cluster(request) as address, connect(address, asynchronous=True, set_as_default=False) as cluster:
        workers = max(len(cluster.scheduler_info()["workers"]), 1)

        async def work(unit: Unit) -> Fetched:
            mine = await prepare(unit)
            future = cluster.submit(fetch_remotely, public, unit, mine, workers, pure=False, retries=1)
            fetched: Fetched = await future
            return fetched

        yield work


@asynccontextmanager
async def _cluster(request: Request) -> AsyncIterator[Any]:
    if request.scheduler:
        yield request.scheduler
        return
    if request.hosts:
        try:
            from distributed import SSHCluster
        except ImportError:
            raise ConfigError("--hosts needs asyncssh on this machine: pip install asyncssh") from None
        made = SSHCluster(list(request.hosts), asynchronous=True)
    else:
        from distributed import LocalCluster

        start: Any = LocalCluster
        made = start(
            n_workers=request.workers, threads_per_worker=1, processes=True, asynchronous=True, dashboard_address=None
        )
    async with made as cluster:
        yield cluster


def fetch_remotely(config: Config, unit: Unit, known: Known, workers: int) -> Fetched:
    """One unit in a worker's process, with the keys of its own environment and its share of every rate."""
    return asyncio.run(_fetch_remotely(replace(config, environ=dict(os.environ)), unit, known, workers))


async def _fetch_remotely(config: Config, unit: Unit, known: Known, workers: int) -> Fetched:
    spec = shared_rate(load_chains(config.section("chains"), config.environ)[unit.chain], workers)
    async with ChainClient.open(spec) as client:
        return await fetch(client, pricer_of(config, unit.chain, client), unit, known)


def shared_rate(spec: ChainSpec, workers: int) -> ChainSpec:
    """A chain whose providers are asked no faster in all than one process would ask them."""
    providers = tuple(
        p if p.requests_per_second is None else replace(p, requests_per_second=p.requests_per_second / workers)
        for p in spec.providers
    )
    return replace(spec, providers=providers)
