"""Several providers of one chain side by side: the first good answer wins, the next is asked when one is slow.

A pool sends each question to the provider it expects most of, and waits for it; where seconds count, a provider that
hangs must not cost more than `after` seconds. Every answer is checked as ever: one of another block is no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from extract.errors import ForeshoreError
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec
from extract.evm.errors import ChainError

T = TypeVar("T")


class Hedge:
    """Clients of one chain by provider. `trouble` says by provider what is wrong with it now."""

    def __init__(self, clients: Mapping[str, ChainClient], after: float) -> None:
        self._clients, self._after = dict(clients), after
        self._order = list(clients)  # who told of the newest block first, first
        self._polls: dict[str, asyncio.Task[Block]] = {}
        self._heads: dict[str, Block] = {}
        self.trouble: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, spec: ChainSpec, after: float) -> AsyncIterator[Hedge]:
        """A client for each provider that answers; ChainError when none does."""
        async with AsyncExitStack() as stack:
            clients, trouble = dict[str, ChainClient](), dict[str, str]()
            for provider in spec.providers:
                try:
                    alone = ChainClient.open(replace(spec, providers=(provider,)))
                    clients[provider.name] = await stack.enter_async_context(alone)
                except ForeshoreError as error:
                    trouble[provider.name] = str(error)
            if not clients:
                raise ChainError("; ".join(trouble.values()))
            made = cls(clients, after)
            made.trouble |= trouble
            try:
                yield made
            finally:
                await _cancel(made._polls.values())

    @property
    def chain_id(self) -> int:
        return next(iter(self._clients.values())).chain_id

    @property
    def requests(self) -> Mapping[str, int]:
        """HTTP requests so far, by provider."""
        return {name: client.stats[name].requests for name, client in self._clients.items()}

    async def head(self, above: int, seconds: float) -> Block | None:
        """The newest block that anybody tells of, once it is above a number; None when nobody does in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            for name, client in self._clients.items():
                if name not in self._polls:
                    self._polls[name] = asyncio.create_task(client.head())
            left = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait(
                self._polls.values(), timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED
            )
            self._take(done)
            newest = max(self._heads.values(), key=lambda block: block.number, default=None)
            if newest is not None and newest.number > above:
                return newest
            if left <= 0 or all(poll.done() for poll in self._polls.values()):
                return None

    def _take(self, done: set[asyncio.Task[Block]]) -> None:
        for name in [name for name, poll in self._polls.items() if poll in done]:
            poll = self._polls.pop(name)
            error = poll.exception()
            if error is not None:
                self.trouble[name] = str(error)
                continue
            block = poll.result()
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
