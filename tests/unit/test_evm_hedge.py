"""Providers side by side: the first good answer wins, who hangs, lies behind or stands on a fork is named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.errors import ChainError
from extract.evm.hedge import Hedge
from extract.voting.live import Foresight


def block(number: int, fork: str = "a") -> Block:
    return Block(number, 2 * number, f"0x{fork}{number}", f"0x{fork}{number - 1}")


@dataclass
class Provider:
    """A client by hand: how long it takes, what it answers."""

    name: str
    delay: float = 0.0
    newest: Block = field(default_factory=lambda: block(10))
    error: Exception | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)  # (block, calls)
    chain_id: int = 1

    async def head(self) -> Block:
        await asyncio.sleep(self.delay)
        if self.error:
            raise self.error
        return self.newest

    async def read(self, calls: Sequence[Call], number: int) -> list[Reply]:
        self.asked.append((number, len(calls)))
        await asyncio.sleep(self.delay)
        if self.error:
            raise self.error
        return [Reply("ok", number.to_bytes(32, "big"), self.name) for _ in calls]


def hedge(*providers: Provider, after: float = 0.05) -> Hedge:
    return Hedge({p.name: p for p in providers}, after)  # type: ignore[dict-item]


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 10))


def test_a_provider_that_hangs_costs_the_hedge_and_no_more() -> None:
    hanging, quick = Provider("hanging", delay=60), Provider("quick")

    async def timed() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        replies = await hedge(hanging, quick).read([Call("0x1", "0x")], 10)
        return replies[0].provider, loop.time() - started

    provider, seconds = run(timed())
    assert provider == "quick" and 0.05 <= seconds < 2


def test_one_that_answers_in_time_is_asked_alone() -> None:
    first, second = Provider("first"), Provider("second")
    run(hedge(first, second).read([Call("0x1", "0x")], 10))
    assert first.asked and not second.asked


def test_one_that_fails_is_followed_at_once_and_the_last_error_tells() -> None:
    dead, good = Provider("dead", error=ChainError("gone")), Provider("good")
    assert run(hedge(dead, good, after=60).read([Call("0x1", "0x")], 10))[0].provider == "good"
    with pytest.raises(ChainError, match="also gone"):
        run(hedge(dead, Provider("other", error=ChainError("also gone"))).read([Call("0x1", "0x")], 10))


def test_the_newest_head_of_anybody_counts_and_who_is_behind_or_on_a_fork_is_named() -> None:
    fast, behind, forked = (
        Provider("fast", newest=block(12)),
        Provider("behind", newest=block(7)),
        Provider("forked", newest=block(12, "b"), delay=0.02),
    )
    side = hedge(fast, behind, forked)

    async def heads() -> Block | None:
        found = await side.head(9, 1.0)
        await asyncio.sleep(0.05)
        await side.head(12, 0.1)
        return found

    assert run(heads()) == block(12)
    assert "5 blocks behind" in side.trouble["behind"]
    assert "fork" in side.trouble["forked"] or "fork" in side.trouble["fast"]


def test_no_new_block_is_no_answer_and_a_dead_provider_is_named() -> None:
    side = hedge(Provider("dead", error=ChainError("gone")), Provider("still", newest=block(10)))
    assert run(side.head(10, 0.1)) is None
    assert side.trouble["dead"] == "gone"


def test_what_was_asked_at_the_last_block_is_asked_at_once_and_what_is_still_is_not() -> None:
    provider = Provider("one")
    views = Foresight(hedge(provider), ["decimals()"])
    votes, decimals, listed = Call("0xa", "0x11111111"), Call("0xb", "0x313ce567"), Call("0xc", "0x22222222")

    async def night() -> list[Any]:
        seen = []
        for number in (10, 11, 12):
            await views.come_to(number)
            ((first,), (second,)) = await views.read_blocks([(number, [votes]), (number, [decimals])])
            extra = [listed] if number == 12 else []
            await views.read_blocks([(number, extra), (3, [votes])])
            seen.append((first.data[-1], second.data[-1]))
        return seen

    assert run(night()) == [(10, 10), (11, 10), (12, 10)], "votes are of the block, decimals of the first"
    assert provider.asked == [(10, 1), (10, 1), (3, 1), (11, 1), (12, 1), (12, 1)], "a past block is asked once"


def test_what_stands_still_is_asked_again_in_turns_the_longest_unasked_first() -> None:
    provider = Provider("one")
    views = Foresight(hedge(provider), ["decimals()"])
    still = [Call(f"0x{n}", "0x313ce567") for n in range(10)]

    async def night() -> list[list[int]]:
        seen = []
        for number in range(10, 17):
            await views.come_to(number, 0.0 if number == 10 else 0.2)
            (replies,) = await views.read_blocks([(number, still)])
            seen.append([reply.data[-1] for reply in replies])
        await views.come_to(17, 30.0)  # hours later: all of it
        (replies,) = await views.read_blocks([(17, still)])
        return [*seen, [reply.data[-1] for reply in replies]]

    seen = run(night())
    assert provider.asked == [(10, 10), *((number, 2) for number in range(11, 17)), (17, 10)]
    assert seen[2] == [11, 11, 12, 12, *[10] * 6] and seen[6] == [16, 16, 12, 12, 13, 13, 14, 14, 15, 15]
    assert seen[7] == [17] * 10


def test_a_reading_that_was_broken_off_costs_the_next_block_nothing() -> None:
    provider = Provider("one")
    views = Foresight(hedge(provider), [])
    calls = [Call("0xa", "0x11111111"), Call("0xb", "0x22222222")]

    async def night() -> None:
        await views.come_to(10)
        await views.read_blocks([(10, calls)])
        provider.delay = 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await views.come_to(11)
        provider.delay = 0
        await views.come_to(12)

    run(night())
    assert provider.asked[-1] == (12, 2), "both are asked at once again"
