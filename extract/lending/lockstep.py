"""Readers that go in step: the same round of many CSUs and blocks travels as one request.

A family asks in rounds, each of which waits for the last. Alone that is a request per round, CSU and block; in step it
is one per round, with what several ask at the same block asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from extract.errors import ForeshoreError
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.logs import LogChunk, Topics
from extract.lending.families.base import Chain

T = TypeVar("T")


@dataclass
class _Asked:
    """One reader's round: its calls at a block, and where the replies go."""

    block: int
    calls: Sequence[Call]
    replies: asyncio.Future[list[Reply]]


@dataclass
class _Step:
    """Readers still at work, and those that wait for their round."""

    client: ChainClient
    at_work: int = 0
    waiting: list[_Asked] = field(default_factory=list)
    asking: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        asked = _Asked(block, calls, asyncio.get_running_loop().create_future())
        self.waiting.append(asked)
        self.go()
        return await asked.replies

    def go(self) -> None:
        """Ask when everybody who is still at work waits."""
        if self.waiting and len(self.waiting) >= self.at_work:
            together, self.waiting = self.waiting, []
            task = asyncio.create_task(_ask(self.client, together))
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)

    async def block_at_or_before(self, timestamp: int) -> Block:
        return await self.client.block_at_or_before(timestamp)

    def logs(self, addresses: Sequence[str], topics: Topics, from_block: int, to_block: int) -> AsyncIterator[LogChunk]:
        return self.client.logs(addresses, topics, from_block, to_block)


async def _ask(client: ChainClient, together: Sequence[_Asked]) -> None:
    try:
        await _ask_together(client, together)
    except (ForeshoreError, OSError) as error:
        if len(together) == 1:
            together[0].replies.set_exception(error)
        else:  # what one of them asks may be too much for a provider: the others are not to suffer
            for one in together:
                await _ask(client, [one])
    except BaseException as error:
        for one in together:
            if not one.replies.done():
                one.replies.set_exception(error)
        raise


async def _ask_together(client: ChainClient, together: Sequence[_Asked]) -> None:
    by_block: dict[int, dict[Call, int]] = {}
    for one in together:
        places = by_block.setdefault(one.block, {})
        for asked in one.calls:
            places.setdefault(asked, len(places))
    replies = dict(zip(by_block, await client.read_blocks([(b, list(of)) for b, of in by_block.items()]), strict=True))
    for one in together:
        places, answers = by_block[one.block], replies[one.block]
        one.replies.set_result([answers[places[asked]] for asked in one.calls])


async def in_step(client: ChainClient, readers: Sequence[Callable[[Chain], Awaitable[T]]]) -> list[T | ForeshoreError]:
    """What each reader returns, in order; a reader that fails is its error, and stops no other."""
    step = _Step(client, at_work=len(readers))

    async def one(reader: Callable[[Chain], Awaitable[T]]) -> T | ForeshoreError:
        try:
            return await reader(step)
        except ForeshoreError as error:
            return error
        except OSError as error:
            return ForeshoreError(str(error))
        finally:
            step.at_work -= 1
            step.go()

    return list(await asyncio.gather(*(one(reader) for reader in readers)))
