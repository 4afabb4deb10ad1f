"""Several providers of one chain side by side: the first good answer wins, the next is asked when one is slow.

A pool sends each question to the provider it expects most of, and waits for it; where seconds count, a provider that
hangs must not cost more than `after` seconds. Every answer is checked as ever: one of another block is no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from extract.errors import ForeshoreError
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import ChainError

SILENT_BLOCKS = 2  # after so many blocks' time without one, who tells of them is asked as well
SILENT_SECONDS = 3.0  # at least
LISTEN_AGAIN_SECONDS = 5.0
OPEN_SECONDS = 10.0  # one provider that hangs does not keep the others waiting for longer

T = TypeVar("T")


class Hedge:
    """Clients of one chain by provider. `trouble` says by provider what is wrong with it now."""

    def __init__(self, clients: Mapping[str, ChainClient], after: float, block_seconds: float = 2.0) -> None:
        self._clients, self._after = dict(clients), after
        self._silence = max(SILENT_SECONDS, SILENT_BLOCKS * block_seconds)
        self._order = list(clients)  # who told of the newest block first, first
        self._polls: dict[str, asyncio.Task[Block]] = {}
        self._heads: dict[str, Block] = {}
        self._told_at: dict[str, float] = {}  # when a provider last told of a block by itself
        self._told = asyncio.Event()
        self.trouble: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, spec: ChainSpec, after: float) -> AsyncIterator[Hedge]:
        """A client for each provider that answers; ChainError when none does."""
        async with AsyncExitStack() as stack:
            clients, trouble = dict[str, ChainClient](), dict[str, str]()

            async def enter(provider: ProviderSpec) -> None:
                alone = ChainClient.open(replace(spec, providers=(provider,)))
                try:
                    async with asyncio.timeout(OPEN_SECONDS):
                        clients[provider.name] = await stack.enter_async_context(alone)
                except ForeshoreError as error:
                    trouble[provider.name] = str(error)
                except TimeoutError:
                    trouble[provider.name] = f"it did not say who it is in {OPEN_SECONDS:g} s"

            await asyncio.gather(*map(enter, spec.providers))
            if not clients:
                raise ChainError("; ".join(trouble.values()))
            made = cls(clients, after, spec.block_seconds)
            made.trouble |= trouble
            listening = [asyncio.create_task(made._listen(name, client)) for name, client in clients.items()]
            try:
                yield made
            finally:
                await _cancel([*listening, *made._polls.values()])

    @property
    def chain_id(self) -> int:
        return next(iter(self._clients.values())).chain_id

    @property
    def requests(self) -> Mapping[str, int]:
        """HTTP requests so far, by provider."""
        return {name: client.stats[name].requests for name, client in self._clients.items()}

    async def head(self, above: int, seconds: float) -> Block | None:
        """The newest block that anybody tells of, once it is above a number; None when nobody does in time.

        Who tells of blocks by himself is not asked, unless he has been silent for a while.
        """
        deadline, asked = self._now() + seconds, set[str]()
        while True:
            silent = {name for name in self._clients if not self._is_telling(name)}
            for name in silent - asked - self._polls.keys():
                self._polls[name] = asyncio.create_task(self._clients[name].head())
            asked |= silent
            is_told = len(silent) < len(self._clients)
            if is_told and (newest := self._newest(above)):
                return newest
            await self._wait(min(deadline - self._now(), self._silence))
            if newest := self._newest(above):
                return newest
            if self._now() >= deadline or not (is_told or self._polls):
                return None  # everybody was asked, and nobody has it

    async def _wait(self, seconds: float) -> None:
        """Until somebody tells of a block or answers."""
        self._told.clear()
        told = asyncio.create_task(self._told.wait())
        waiting: set[asyncio.Task[Any]] = {told, *self._polls.values()}
        done, _ = await asyncio.wait(waiting, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        await _cancel([told])
        self._take(done - {told})

    def _newest(self, above: int) -> Block | None:
        newest = max(self._heads.values(), key=lambda block: block.number, default=None)
        return newest if newest is not None and newest.number > above else None

    async def _listen(self, name: str, client: ChainClient) -> None:
        """Hear of blocks from a provider that tells of them; when it breaks off, it is asked as the others are."""
        while True:
            try:
                async for block in client.new_heads():
                    self._told_at[name] = self._now()
                    self._hear(name, block)
                    self._told.set()
                return  # it has no websocket
            except ForeshoreError as error:
                self._told_at.pop(name, None)
                self.trouble[name] = str(error)
                self._told.set()
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    def _is_telling(self, name: str) -> bool:
        return name in self._told_at and self._now() - self._told_at[name] < self._silence

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _take(self, done: set[asyncio.Task[Block]]) -> None:
        for name in [name for name, poll in self._polls.items() if poll in done]:
            poll = self._polls.pop(name)
            error = poll.exception()
            if error is not None:
                self.trouble[name] = str(error)
                continue
            self._hear(name, poll.result())

    def _hear(self, name: str, block: Block) -> None:
        if name in self._heads and block.number < self._heads[name].number:
            return  # an answer that was overtaken
        self._heads[name] = block
        self._order = [name, *(other for other in self._order if other != name)]
        self._judge(name, block)

    def _judge(self, name: str, block: Block) -> None:
        """Name who is on another fork than the others, or behind them."""
        others = [b for other, b in self._heads.items() if other != name]
        forks = [b for b in others if b.number == block.number and b.hash != block.hash]
        behind = max((b.number for b in others), default=block.number) - block.number
        if forks:
            self.trouble[name] = f"it is on another fork at block {block.number}"
        elif behind > 1:
            self.trouble[name] = f"it is {behind} blocks behind"
        else:
            self.trouble.pop(name, None)

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        """View calls at a block, of the first provider that answers them with proof."""
        return await self.first(lambda client: client.read(calls, block))

    async def first(self, ask: Callable[[ChainClient], Awaitable[T]]) -> T:
        """The first good answer; the next provider is asked when one fails, or is slow. The last error, when all do."""
        waiting: set[asyncio.Future[T]] = set()
        left, failed = list(self._order), list[BaseException]()
        try:
            while left or waiting:
                if left:
                    waiting.add(asyncio.ensure_future(ask(self._clients[left.pop(0)])))
                timeout = self._after if left else None
                done, waiting = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    error = one.exception()
                    if error is None:
                        return one.result()
                    if not isinstance(error, ForeshoreError):
                        raise error
                    failed.append(error)
        finally:
            await _cancel(waiting)
        raise failed[-1]


async def _cancel(tasks: object) -> None:
    for task in list(tasks):  # type: ignore[call-overload]
        task.cancel()
        with suppress(asyncio.CancelledError, ForeshoreError):
            await task
