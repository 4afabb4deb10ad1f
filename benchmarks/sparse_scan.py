"""Sparse scan: an event in every hundredth of 10,000 blocks, at 80 ms a request. `python -m benchmarks.sparse_scan`

Ours against chunks of 10 blocks with five requests in flight (how a free plan's limit is usually hard-coded), where
the provider allows wide ranges; and ours where it really allows only 10 blocks, as a control.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.common import CHAIN_ID, Contestant, arguments, race, result, show
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec

BLOCKS, EVERY, LATENCY = 10_000, 100, 0.08
EMITTER, TOPIC = "0x" + "e1" * 20, "0x" + "11" * 32


class Provider:
    """Answers like a node, 80 ms late; refuses ranges above `cap` in the words of a free plan."""

    def __init__(self, cap: int | None) -> None:
        self.cap, self.requests = cap, 0

    async def serve(self, request: web.Request) -> web.Response:
        call = await request.json()
        self.requests += 1
        await asyncio.sleep(LATENCY)
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], **self.answer(call["method"], call["params"])})

    def answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_chainId":
            return {"result": hex(CHAIN_ID)}
        if method == "eth_getBlockByNumber":
            number = BLOCKS if params[0] == "latest" else int(params[0], 16)
            return {"result": {"number": hex(number), "timestamp": hex(number * 2), "hash": "0x1", "parentHash": "0x0"}}
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if self.cap and last - first + 1 > self.cap:
            fits = f"[{first:#x}, {first + self.cap - 1:#x}]"
            words = f"up to a {self.cap} block range. Based on your parameters, this block range should work: {fits}"
            return {"error": {"code": -32600, "message": words}}
        return {"result": [log(n) for n in range(first + -first % EVERY, last + 1, EVERY)]}


def log(block: int) -> dict[str, Any]:
    return {
        "address": EMITTER, "topics": [TOPIC], "data": "0x", "blockHash": f"0x{block:064x}", "blockNumber": hex(block),
        "blockTimestamp": hex(block * 2), "transactionHash": f"0x{block:064x}", "transactionIndex": "0x0",
        "logIndex": "0x0", "removed": False,
    }  # fmt: skip


@contextlib.asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", provider.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def ours(url: str) -> int:
    spec = ChainSpec("bench", CHAIN_ID, (ProviderSpec("p", url, max_in_flight=5),), finality_depth=0)
    async with ChainClient.open(spec) as chain:
        return sum([chunk.table.num_rows async for chunk in chain.logs([EMITTER], [[TOPIC]], 1, BLOCKS)])


async def fixed_chunks(url: str) -> int:
    slots, found = asyncio.Semaphore(5), []

    async def ask(session: aiohttp.ClientSession, first: int) -> None:
        query = {"fromBlock": hex(first), "toBlock": hex(first + 9), "address": EMITTER, "topics": [[TOPIC]]}
        body = {"jsonrpc": "2.0", "id": 0, "method": "eth_getLogs", "params": [query]}
        async with slots, session.post(url, json=body) as answer:
            found.extend((await answer.json())["result"])

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session, first) for first in range(1, BLOCKS + 1, 10)))
    return len(found)


def timed(scan: Any, cap: int | None, calls: dict[str, int], name: str) -> Contestant:
    async def once() -> None:
        provider = Provider(cap)
        async with serving(provider) as url:
            assert await scan(url) == BLOCKS // EVERY
        calls[name] = provider.requests

    return Contestant(name, lambda: asyncio.run(once()))


def main() -> int:
    options = arguments(__doc__ or "", rounds=5).parse_args()
    calls: dict[str, int] = {}
    contestants = [
        timed(ours, None, calls, "ours, wide ranges allowed"),
        timed(fixed_chunks, None, calls, "10-block chunks, wide ranges allowed"),
        timed(ours, 10, calls, "ours, 10-block cap"),
    ]
    race(contestants, options.rounds)
    show(result("Sparse scan at 80 ms", contestants, BLOCKS, "blocks", requests=calls), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
