"""The door to a chain: open it, ask for blocks, state and logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from extract.errors import RequestError
from extract.evm.blocks import Block, find, header_call
from extract.evm.cache import Cache
from extract.evm.calls import Call, Reply, StateReader
from extract.evm.config import ChainSpec
from extract.evm.errors import AboveFinality, ChainError, Kind, ProviderError, Refusal
from extract.evm.headers import Headers
from extract.evm.logs import Filter, LogChunk, LogScanner, Topics
from extract.evm.pace import Clock
from extract.evm.pool import CHAIN_ID, Pool
from extract.evm.redact import remember
from extract.evm.resolver import PatientResolver
from extract.evm.sending import balance_call, gas_price_call, receipt_call
from extract.evm.subscription import new_heads
from extract.evm.transport import Answer, Endpoint, Outcome, ProviderStats, RpcCall
from extract.evm.waits import Waits

log = logging.getLogger(__name__)
_OPENING_TRIES = 3


class ChainClient:
    """One chain through its providers. Use `async with ChainClient.open(spec) as chain`.

    Block ranges are inclusive; times are unix seconds; addresses lower-case hex.
    """

    def __init__(self, spec: ChainSpec, pool: Pool, cache: Cache, session: aiohttp.ClientSession) -> None:
        self.spec, self._pool, self._cache, self._session = spec, pool, cache, session
        self._headers = Headers(pool, spec.finality_depth, keeps_head=spec.reads_head)
        self._state = StateReader(pool, spec, self._headers.blocks)
        self._scanner = LogScanner(pool, cache, self._headers, spec)
        self._final: Block | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        spec: ChainSpec,
        cache_path: Path | None = None,
        clock: Clock | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> AsyncIterator[ChainClient]:
        """Connect and check every endpoint: chain id, answers at all, not behind. ChainError when none is
        left.

        `cache_path`: a small file of learned caps and found blocks. `clock` and `session` are for tests.
        """
        clock = clock or Clock()
        cache = Cache(cache_path)
        for provider in spec.providers:
            remember(provider.url)
            remember(provider.ws_url)
        async with _session(session) as connected:
            waits = Waits(f"chain {spec.name}", clock)
            endpoints = [Endpoint(p, connected, waits) for p in spec.providers]
            pool = Pool(spec, endpoints, waits)
            await _admit(spec, pool)
            try:
                yield cls(spec, pool, cache, connected)
            finally:
                cache.save()

    @property
    def chain_id(self) -> int:
        return self.spec.chain_id

    @property
    def stats(self) -> Mapping[str, ProviderStats]:
        """Calls, requests, bytes and retries so far, by provider name."""
        return {e.name: replace(e.stats) for e in self._pool.endpoints}

    @property
    def left_out(self) -> Mapping[str, str]:
        """Providers that are used no more, or never were, with the reason."""
        return {name: health.stopped for name, health in self._pool.health.items() if health.stopped is not None}

    def share(self, among: int) -> None:
        """Ask as one of `among` processes that share each provider's limits."""
        for endpoint in self._pool.endpoints:
            endpoint.share(among)

    async def has_code(self, address: str, block: int) -> bool:
        """Whether there is a contract at an address at a block. Errors: ProviderError."""
        [outcome] = await self._pool.request([RpcCall("eth_getCode", [address, hex(block)], str)], block)
        if isinstance(outcome, Answer):
            return outcome.value not in ("0x", "")
        raise ProviderError(f"code of {address}", outcome)

    async def head(self) -> Block:
        """The newest block; never an older one than before, whatever a provider that is behind says."""
        head = await self._headers.head()
        if self.spec.reads_head:
            self._final = head
        return head

    async def new_heads(self) -> AsyncGenerator[Block, None]:
        """Newest blocks as the first provider with a websocket tells of them; nothing where none has one.

        Errors: ProviderError when the connection ends.
        """
        spec = next((provider for provider in self.spec.providers if provider.ws_url), None)
        if spec is None:
            return
        async with aclosing(new_heads(self._session, spec.ws_url, spec.name, self.chain_id)) as told:
            async for block in told:
                self._headers.take_head(block, spec.name)
                if self.spec.reads_head:
                    self._final = block
                yield block

    async def finalized(self) -> Block:
        """The newest block that does not change any more: head minus finality_depth, or the node's
        `finalized` tag where that is older and the chain is configured to use it.
        """
        head = await self.head()
        if self.spec.reads_head:
            return head
        number = max(0, head.number - self.spec.finality_depth)
        if self.spec.use_finalized_tag:
            [tagged] = await self._pool.request([header_call("finalized")])
            if isinstance(tagged, Answer) and tagged.value.number > 0:
                number = min(number, tagged.value.number)
        self._final = head if number == head.number else await self.block(number)
        return self._final

    async def block(self, number: int) -> Block:
        """The header of one block."""
        return (await self.blocks([number]))[0]

    async def blocks(self, numbers: Sequence[int], fresh: bool = False) -> list[Block]:
        """Headers in the order asked. Final ones are remembered; `fresh` asks again all the same."""
        return await self._headers.blocks(numbers, fresh)

    async def proven_blocks(self, numbers: Sequence[int]) -> list[Block]:
        """Headers that the chain's own state confirms, in the order asked, in one request; for what hangs on a header
        alone. Before Multicall3 existed they are headers like others. Errors: Disagreement names two providers,
        ProviderError the one whose headers and states contradict each other.
        """
        probe = Call(self.spec.multicall_address, "0x42cbb15c")  # getBlockNumber(): any call brings the proof along
        try:
            await self.read_blocks([(number, [probe]) for number in dict.fromkeys(numbers)])
        except ProviderError:
            await self._headers.compare(list(dict.fromkeys(numbers)))
            raise
        return await self.blocks(numbers)

    async def block_at_or_before(self, timestamp: int) -> Block:
        """The newest block with `block.timestamp <= timestamp`, proven by its successor. BeforeChain,
        AfterHead.
        """
        return (await self.blocks_at_or_before([timestamp]))[0]

    async def blocks_at_or_before(self, timestamps: Sequence[int]) -> list[Block]:
        """block_at_or_before for many times at once: searches share headers and batches."""
        if not timestamps:
            return []
        first, head = await self.block(0), await self.head()
        found = await find(timestamps, first, head, self.blocks, self._cache.guess)
        for timestamp, block in zip(timestamps, found, strict=True):
            self._cache.learn_block(timestamp, block.number)
        return found

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        """View calls at one block, in order; what fails is a status, not an exception."""
        return (await self.read_blocks([(block, calls)]))[0]

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        """View calls at many blocks: one Multicall3 call per block, several blocks per HTTP request. Each reply says
        whether it is proven to be of its block.
        """
        return await self._state.read_blocks(requests)

    async def try_out(self, transaction: Mapping[str, str], block: int) -> tuple[Outcome, Outcome]:
        """What an unsigned transaction (`from`, `to`, `data`) would return on the state of a block, and its gas.

        Nothing is sent. A revert is a Refusal of kind REVERTED whose `data` holds the contract's own error.
        """
        asked = [dict(transaction), hex(block)]
        call = RpcCall("eth_call", asked, str)
        gas = RpcCall("eth_estimateGas", asked, str, lambda text: int(text, 16))
        returned, estimated = await self._pool.request([call, gas], block)
        return returned, estimated

    async def gas_price(self) -> int:
        """The price of a unit of gas now, in wei. Errors: ProviderError."""
        return int(await self._one(gas_price_call(), "gas price"))

    async def balance(self, address: str, block: int) -> int:
        """What an account holds at a block, in wei. Errors: ProviderError."""
        return int(await self._one(balance_call(address, block), f"balance of {address}", block))

    async def receipt(self, transaction_hash: str) -> tuple[int, bool] | None:
        """(block, whether it succeeded) of a transaction; None while it is in no block. Errors: ProviderError."""
        found: tuple[int, bool] | None = await self._one(receipt_call(transaction_hash), "receipt")
        return found

    async def _one(self, asked: RpcCall, what: str, block: int = 0) -> Any:
        [outcome] = await self._pool.request([asked], block)
        if isinstance(outcome, Answer):
            return outcome.value
        raise ProviderError(f"{what} on {self.spec.name}", outcome)

    async def logs(
        self,
        addresses: Sequence[str],
        topics: Topics,
        from_block: int,
        to_block: int,
        confirm_share: float | None = None,
    ) -> AsyncIterator[LogChunk]:
        """Logs of final blocks, chunk by chunk in order, tiling from_block..to_block; each chunk says how it was
        confirmed.

        `addresses` empty means all; `topics` per position a list of alternatives or None. `confirm_share` overrules
        the chain's: 1 where what was found contradicts something else. Errors: RequestError for a range upside
        down, AboveFinality, RangeTooDense, Disagreement, ProviderError.
        """
        if not 0 <= from_block <= to_block:
            raise RequestError(f"no such block range: {from_block}..{to_block}; write the older block first")
        await self._check_final(to_block)
        share = self.spec.confirm_share if confirm_share is None else confirm_share
        scan = self._scanner.scan(Filter.of(addresses, topics), from_block, to_block, share)
        try:
            async for chunk in scan:
                yield chunk
        finally:
            await scan.aclose()  # type: ignore[attr-defined]

    async def plan_logs(self, from_block: int, to_block: int) -> int:
        """Estimated eth_getLogs calls for a range, by the caps known so far."""
        return self._scanner.estimate(from_block, to_block)

    async def _check_final(self, block: int) -> None:
        final = self._final
        if final is None or block > final.number:
            final = await self.finalized()
        if block > final.number:
            raise AboveFinality(f"block {block} of {self.spec.name} is not final yet: end the range at {final.number}")


def _session(given: aiohttp.ClientSession | None) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    """The session given, left open afterwards, or one of our own; limits live in the endpoints, not in it."""
    if given:
        return nullcontext(given)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, resolver=PatientResolver()))


async def _admit(spec: ChainSpec, pool: Pool) -> None:
    """Ask every endpoint who it is and where it stands; stop those that cannot be used."""
    heads: dict[str, Block] = {}
    introduced = await asyncio.gather(*(_introduce(pool, endpoint) for endpoint in pool.endpoints))
    for endpoint, outcome in zip(pool.endpoints, introduced, strict=True):
        problem = _problem(spec, outcome)
        if problem:
            pool.stop(endpoint, *problem)
        elif isinstance(outcome[1], Answer):
            heads[endpoint.name] = outcome[1].value
            pool.heads[endpoint.name] = outcome[1].value.number
    newest = max((b.timestamp for b in heads.values()), default=0)
    for endpoint in pool.usable():
        behind = newest - heads[endpoint.name].timestamp
        if behind > spec.allowed_lag_seconds:
            pool.stop(endpoint, Kind.LAGGING, f"its newest block is {behind} s behind the best provider's")
    if not pool.usable():
        reasons = "; ".join(f"{e.name}: {pool.health[e.name].stopped}" for e in pool.endpoints)
        raise ChainError(f"no provider of chain {spec.name} can be used: {reasons}")


async def _introduce(pool: Pool, endpoint: Endpoint) -> list[Outcome]:
    """chain id and head, tried a few times: a slow start is no reason to do without a provider."""
    calls = [CHAIN_ID, header_call("latest")]
    outcomes: list[Outcome] = []
    for attempt in range(1, _OPENING_TRIES + 1):
        outcomes = [o for [o] in await asyncio.gather(*(pool.ask(endpoint, [call]) for call in calls))]
        if not any(isinstance(o, Refusal) and o.kind not in (Kind.QUOTA, Kind.UNSUPPORTED) for o in outcomes):
            break
        await pool.waits.sleep(pool.clock.jitter(attempt), f"{endpoint.name} does not say who it is")
    return outcomes


def _problem(spec: ChainSpec, outcomes: Sequence[Outcome]) -> tuple[Kind, str] | None:
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            return outcome.kind, f"{outcome.kind.value}: {outcome.message}"
    identity = outcomes[0]
    if isinstance(identity, Answer) and identity.value != spec.chain_id:
        return Kind.MISMATCH, f"it serves chain id {identity.value}, not {spec.chain_id}: check the URL behind it"
    return None
