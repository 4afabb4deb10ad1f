"""Blocks told of by a websocket of a real node: at once, without a request; and what happens when it goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

import simulate
import simulate.voting
from extract.evm import hedge as hedges
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import ProviderError
from extract.evm.hedge import Hedge
from extract.evm.subscription import new_heads
from tests.world_fixtures import ask

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    with simulate.voting.running(tmp_path_factory.mktemp("heads"), epochs=1, gauges=8, voters=4) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(world: simulate.RunningWorld) -> Iterator[None]:
    yield
    world.heal()


def spec(world: simulate.RunningWorld, *profiles: str) -> ChainSpec:
    """A chain through profiles of the proxy; one that begins with `ws:` has a websocket."""
    providers = []
    for name in profiles:
        url = world.profile_url(name.removeprefix("ws:"))
        socket = url.replace("http:", "ws:") if name.startswith("ws:") else ""
        providers.append(ProviderSpec(name.removeprefix("ws:"), url, socket))
    return ChainSpec("world", world.info["chain_id"], tuple(providers), 5, reads_head=True)


def mine(world: simulate.RunningWorld) -> int:
    node = world.info["node_url"]
    now = int(ask(node, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    ask(node, "evm_mine", {"timestamp": now + 2})
    return int(ask(node, "eth_blockNumber"), 16)


@asynccontextmanager
async def listening(world: simulate.RunningWorld, *profiles: str) -> AsyncIterator[tuple[Hedge, int]]:
    """A hedge that has been told of a block, and which."""
    async with Hedge.open(spec(world, *profiles), 0.25) as providers:
        newest = -1
        for _ in range(50):
            newest = mine(world)
            head = await providers.head(newest - 1, 5)
            assert head is not None and head.number == newest
            if providers._told_at:
                break
            await asyncio.sleep(0.1)
        assert providers._told_at, "the websocket never told of a block"
        await asyncio.wait(providers._polls.values()) if providers._polls else None  # asked before it told
        yield providers, newest


def test_a_told_block_costs_no_request_and_is_proven_by_the_state_read_at_it(world: simulate.RunningWorld) -> None:
    async def heads() -> None:
        async with listening(world, "ws:clean") as (providers, newest):
            before = sum(providers.requests.values())
            for _ in range(5):
                mined = mine(world)
                head = await providers.head(newest, 5)
                assert head is not None and head.number == mined
                newest = mined
            assert sum(providers.requests.values()) == before
            told = await providers.first(lambda client: client.blocks([newest]))
            assert told == [head], "the header is known, and not asked for again"
            assert sum(providers.requests.values()) == before

    asyncio.run(heads())


@pytest.mark.parametrize("fault", ["hang", "reset", "malformed"])
def test_a_websocket_that_fails_is_no_blindness(
    world: simulate.RunningWorld, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent, closed or babbling: the provider is asked as others are, and listened to again when it is well."""
    monkeypatch.setattr(hedges, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(hedges, "SILENT_BLOCKS", 0)
    monkeypatch.setattr(hedges, "LISTEN_AGAIN_SECONDS", 0.2)

    async def heads() -> None:
        async with listening(world, "ws:clean") as (providers, newest):
            world.control(fault, methods=["eth_subscribe"])
            started = time.monotonic()
            mined = mine(world)
            while (head := await providers.head(newest, 3)) is None:
                assert time.monotonic() - started < 10
                await asyncio.sleep(0.1)
            assert head.number == mined
            if fault != "hang":
                assert "websocket" in providers.trouble.get("clean", "websocket")
            world.heal()
            for _ in range(50):
                providers._told_at.clear()
                newest = mine(world)
                await asyncio.sleep(0.3)
                if providers._told_at:
                    return
            raise AssertionError("it was not listened to again")

    asyncio.run(heads())


def test_a_provider_without_a_websocket_is_polled_beside_one_that_tells(world: simulate.RunningWorld) -> None:
    async def heads() -> None:
        async with listening(world, "ws:clean", "second") as (providers, newest):
            mined = mine(world)
            head = await providers.head(newest, 5)
            assert head is not None and head.number == mined
            before = providers.requests["second"]
            waited = asyncio.create_task(providers.head(mined, 1.5))
            assert await waited is None
            assert providers.requests["second"] - before <= 2, "asked once a look, not without end"

    asyncio.run(heads())


def test_another_chains_websocket_is_refused_by_name(world: simulate.RunningWorld) -> None:
    async def listen() -> None:
        url = world.profile_url("clean").replace("http:", "ws:")
        async with aiohttp.ClientSession() as session:
            async for _ in new_heads(session, url, "clean", 1):
                raise AssertionError("it told of a block")

    with pytest.raises(ProviderError, match="serves chain id 31337, not 1"):
        asyncio.run(listen())


def test_a_websocket_that_cannot_be_reached_names_no_key() -> None:
    async def listen() -> None:
        async with aiohttp.ClientSession() as session:
            async for _ in new_heads(session, "ws://127.0.0.1:9/v2/topsecretkey", "gone", 1):
                raise AssertionError("it told of a block")

    with pytest.raises(ProviderError, match="gone says") as caught:
        asyncio.run(listen())
    assert "topsecretkey" not in str(caught.value)


def test_who_cannot_be_reached_or_hangs_at_the_start_is_named_and_the_others_go_on(
    world: simulate.RunningWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that does not resolve, and a provider that never answers, beside one that does."""
    monkeypatch.setattr(hedges, "OPEN_SECONDS", 2.0)
    world.control("hang", 60, profile="slow")
    gone = ProviderSpec("gone", "http://no-such-host.invalid/v2/topsecretkey")
    providers = (gone, *spec(world, "slow", "clean").providers)

    async def heads() -> tuple[dict[str, str], float]:
        started = time.monotonic()
        async with Hedge.open(replace(spec(world, "clean"), providers=providers), 0.25) as found:
            assert await found.head(-1, 5) is not None
            return dict(found.trouble), time.monotonic() - started

    trouble, seconds = asyncio.run(heads())
    assert set(trouble) == {"gone", "slow"} and "topsecretkey" not in trouble["gone"]
    assert "did not say who it is in 2 s" in trouble["slow"] and seconds < 10
