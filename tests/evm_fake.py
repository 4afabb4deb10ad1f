"""A chain and its providers in memory: irregular block times, random logs, every style of refusal, faults on
demand.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.pace import Clock

EMITTER = "0x" + "ab" * 20
TOPIC = "0x" + "11" * 32


class Refuse(Exception):
    """A JSON-RPC error of a fake provider, or an HTTP answer that is none."""

    def __init__(self, code: int, message: str, data: Any = None, status: int = 200) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.status = status


@dataclass
class FakeChain:
    """times: block timestamps by number. logs: (block, log index, address, topic1) in order."""

    times: list[int]
    logs: list[tuple[int, int, str]] = field(default_factory=list)
    chain_id: int = 8453

    @property
    def head(self) -> int:
        return len(self.times) - 1

    def header(self, number: int) -> dict[str, str] | None:
        if not 0 <= number <= self.head:
            return None
        parent = f"0x{max(0, number - 1):064x}"
        return {
            "number": hex(number),
            "timestamp": hex(self.times[number]),
            "hash": f"0x{number:064x}",
            "parentHash": parent,
        }

    def log(self, block: int, index: int, address: str, timed: bool) -> dict[str, Any]:
        time = {"blockTimestamp": hex(self.times[block])} if timed else {}
        return time | {
            "address": address,
            "topics": [TOPIC, f"0x{block * 1000 + index:064x}"],
            "data": f"0x{block:064x}{index:064x}",
            "blockHash": f"0x{block:064x}",
            "blockNumber": hex(block),
            "transactionHash": f"0x{block * 1000 + index:064x}",
            "transactionIndex": hex(index // 2),
            "logIndex": hex(index),
            "removed": False,
        }


def a_chain(blocks: int, seed: int = 0, most_per_block: int = 3, share: float = 0.3, emitters: int = 1) -> FakeChain:
    """A chain of `blocks` blocks in which `share` of them hold up to `most_per_block` logs."""
    chance = random.Random(seed)
    times, now = [], 1_700_000_000
    for _ in range(blocks):
        times.append(now)
        now += chance.choice((2, 2, 2, 4, 12))
    addresses = [f"0x{i:040x}" for i in range(1, emitters)] + [EMITTER]
    logs = [
        (block, index, chance.choice(addresses))
        for block in range(blocks)
        if chance.random() < share
        for index in range(chance.randint(1, most_per_block))
    ]
    return FakeChain(times, logs)


Rule = Callable[["FakeProvider", int, int, int], None]  # provider, first, last, logs found; raises Refuse


@dataclass
class FakeProvider:
    """One endpoint of a chain. `rules` look at eth_getLogs; `before` at every HTTP request and may answer
    itself.
    """

    chain: FakeChain
    rules: list[Rule] = field(default_factory=list)
    before: Callable[[FakeProvider, list[dict[str, Any]]], tuple[int, dict[str, str], bytes] | None] | None = None
    head: int | None = None
    timed: bool = True
    most_addresses: int | None = None
    shuffled: bool = False
    requests: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    state: Any = None  # called with a transaction and a block; `code(block)` is what stands at Multicall3's address
    takes_hashes: bool = True

    def handle(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        asked = json.loads(body)
        items = asked if isinstance(asked, list) else [asked]
        self.calls += items
        special = self.before(self, items) if self.before else None
        if special is not None:
            return special
        status, answers = 200, []
        for item in items:
            try:
                answers.append(
                    {
                        "jsonrpc": "2.0",
                        "id": item["id"],
                        "result": self.answer(item["method"], item["params"]),
                    }
                )
            except Refuse as refuse:
                status = refuse.status
                answers.append({"jsonrpc": "2.0", "id": item["id"], "error": refuse.error})
        return status, {}, json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    @property
    def top(self) -> int:
        return self.chain.head if self.head is None else self.head

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(self.chain.chain_id)
        if method == "eth_blockNumber":
            return hex(self.top)
        if method == "eth_getBlockByNumber":
            number = self.top if params[0] in ("latest", "finalized") else int(params[0], 16)
            return self.chain.header(number) if number <= self.top else None
        if method == "eth_getLogs":
            return self._logs(params[0])
        if method in ("eth_call", "eth_getCode") and self.state:
            block = self._block(params[1])
            return self.state(params[0], block) if method == "eth_call" else self.state.code(block)
        raise Refuse(-32601, f"the method {method} does not exist")

    def _block(self, named: Any) -> int:
        if isinstance(named, str):
            return int(named, 16)
        if not self.takes_hashes:
            raise Refuse(-32602, "invalid argument 1: json: cannot unmarshal object into Go value of type string")
        return int(named["blockHash"], 16)  # a fake block's hash is its number

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        wanted = query.get("address", [])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        if self.most_addresses is not None and len(wanted) > self.most_addresses:
            raise Refuse(-32602, "specify less number of addresses")
        found = [x for x in self.chain.logs if first <= x[0] <= min(last, self.top) and (not wanted or x[2] in wanted)]
        for rule in self.rules:
            rule(self, first, last, len(found))
        logs = [self.chain.log(*x, self.timed) for x in found]
        if self.shuffled:
            random.Random(first).shuffle(logs)
        return logs

    def log_ranges(self) -> list[tuple[int, int]]:
        queries = [c["params"][0] for c in self.calls if c["method"] == "eth_getLogs"]
        return [(int(q["fromBlock"], 16), int(q["toBlock"], 16)) for q in queries]


def range_cap(
    cap: int, text: str, code: int = -32602, status: int = 200, exclusive: bool = False, data: Any = None
) -> Rule:
    """Refuse more than `cap` blocks; `{cap}`, `{from}`, `{to}`, `{asked}` in the text are filled in."""

    def rule(_: FakeProvider, first: int, last: int, found: int) -> None:
        if last - first + (not exclusive) > cap:
            end = first + cap - 1
            filled = text.replace("{cap}", str(cap)).replace("{from}", hex(first)).replace("{to}", hex(end))
            raise Refuse(code, filled.replace("{asked}", str(last - first + 1)), data, status)

    return rule


def result_cap(
    cap: int, text: str, code: int = -32005, suggest: Callable[[int, int], tuple[int, int]] | None = None
) -> Rule:
    """Refuse more than `cap` logs, never a single block."""

    def rule(_: FakeProvider, first: int, last: int, found: int) -> None:
        if found > cap and last > first:
            low, high = suggest(first, last) if suggest else (first, (first + last) // 2)
            filled = text.replace("{cap}", str(cap)).replace("{a}", str(low)).replace("{b}", str(high))
            raise Refuse(code, filled.replace("{from}", hex(low)).replace("{to}", hex(high)))

    return rule


class FakeTime:
    """A clock that jumps ahead when somebody sleeps."""

    def __init__(self, seed: int = 0) -> None:
        self.time, self.slept = 1_000.0, 0.0
        self.clock = Clock(self.now, self.sleep, random.Random(seed))

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept += seconds
        await asyncio.sleep(0)  # others get their turn, as with a real clock


class FakeSession:
    """Stands where aiohttp's session stands: POST to a URL reaches the provider registered for it."""

    def __init__(self, providers: dict[str, FakeProvider]) -> None:
        self.providers = providers

    @asynccontextmanager
    async def post(self, url: str, data: bytes, headers: dict[str, str], **_: Any) -> Any:
        await asyncio.sleep(0)
        answer = self.providers[url].handle(data)
        if isinstance(answer, Exception):
            raise answer
        yield _Response(*answer)


@dataclass
class _Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> _Response:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self.body


def a_spec(providers: int = 1, chain_id: int = 8453, **values: Any) -> ChainSpec:
    """A chain with providers p0, p1, ... at http://127.0.0.1/p0 ..."""
    of_provider = {k: values.pop(k) for k in list(values) if k in ProviderSpec.__dataclass_fields__}
    specs = tuple(ProviderSpec(f"p{i}", f"http://127.0.0.1/p{i}", **of_provider) for i in range(providers))
    return ChainSpec("fake", chain_id, specs, **({"finality_depth": 0} | values))


def a_session(*providers: FakeProvider) -> Any:
    return FakeSession({f"http://127.0.0.1/p{i}": p for i, p in enumerate(providers)})


def expected_logs(
    chain: FakeChain, first: int, last: int, addresses: tuple[str, ...] = ()
) -> Iterator[tuple[int, int]]:
    """(block, log index) of what a scan must bring, in order."""
    return ((b, i) for b, i, a in chain.logs if first <= b <= last and (not addresses or a in addresses))
