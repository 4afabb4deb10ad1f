"""Block search equals brute force on chains of any rhythm, in few probes."""

from __future__ import annotations

import asyncio
import bisect
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.evm.blocks import AfterHead, BeforeChain, Block, find
from extract.evm.client import ChainClient
from tests.evm_fake import FakeChain, FakeProvider, FakeTime, a_chain, a_session, a_spec

RHYTHMS = {
    "base": lambda chance: 2,
    "ethereum": lambda chance: 24 if chance.random() < 0.01 else 12,
    "polygon": lambda chance: 5_000 if chance.random() < 0.0005 else 2,
    "arbitrum": lambda chance: 1 if chance.random() < 0.25 else 0,
}


def brute(times: list[int], target: int) -> int:
    return bisect.bisect_right(times, target) - 1


def search(times: list[int], targets: list[int]) -> tuple[list[int], int, int]:
    """(found numbers, headers read, rounds)."""
    reads: list[int] = []

    async def fetch(numbers: Any) -> list[Block]:
        reads.append(len(numbers))
        return [block(n) for n in numbers]

    def block(number: int) -> Block:
        return Block(number, times[number], f"{number}", f"{number - 1}")

    found = asyncio.run(find(targets, block(0), block(len(times) - 1), fetch, lambda _: None))
    return [b.number for b in found], sum(reads), len(reads)


def rhythm(name: str, blocks: int, seed: int) -> list[int]:
    chance, now, times = random.Random(seed), 1_700_000_000, []
    for _ in range(blocks):
        times.append(now)
        now += RHYTHMS[name](chance)
    return times


@settings(max_examples=300, deadline=None)
@given(
    gaps=st.lists(st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 10**6)), min_size=1, max_size=400),
    picks=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12),
)
def test_equals_brute_force(gaps: list[int], picks: list[float]) -> None:
    times = [1_000]
    for gap in gaps:
        times.append(times[-1] + gap)
    times.append(times[-1] + 1)
    targets = [1_000 + int(pick * (times[-1] - 1_000)) for pick in picks] + times[:3]
    targets = [t for t in targets if t < times[-1]]
    found, reads, _ = search(times, targets)
    assert found == [brute(times, t) for t in targets]
    assert reads <= 2 * 3 * (len(times).bit_length() + 2) * len(set(targets))


# most headers and rounds for one search on 500,000 blocks, over 20 targets; binary search reads 19
@pytest.mark.parametrize(
    ("name", "headers", "rounds"),
    [("base", 2, 1), ("ethereum", 8, 5), ("polygon", 32, 28), ("arbitrum", 26, 24)],
)
def test_few_probes(name: str, headers: int, rounds: int) -> None:
    times = rhythm(name, 500_000, 1)
    chance = random.Random(2)
    costs = []
    for _ in range(20):
        target = chance.randrange(times[0], times[-1])
        found, reads, turns = search(times, [target])
        assert found == [brute(times, target)]
        costs.append((reads, turns))
    assert max(c[0] for c in costs) <= headers and max(c[1] for c in costs) <= rounds


def test_many_targets_share_rounds() -> None:
    times = rhythm("ethereum", 300_000, 3)
    midnights = list(range(times[0] + 86_400, times[-1], 86_400))
    found, reads, rounds = search(times, midnights)
    assert found == [brute(times, t) for t in midnights]
    assert rounds <= 8 and reads <= 6 * len(midnights)


def test_the_traps() -> None:
    times = [
        100,
        102,
        104,
        104,
        104,
        110,
        130,
        132,
    ]  # a block on the second, three in one second, missed slots
    targets = [100, 101, 102, 103, 104, 109, 110, 129, 131]
    assert search(times, targets)[0] == [0, 0, 1, 1, 4, 4, 5, 5, 6]
    with pytest.raises(BeforeChain, match="before the chain's first block"):
        search(times, [99])
    with pytest.raises(AfterHead) as caught:
        search(times, [132])  # another block of the head's second may follow
    assert caught.value.head_timestamp == 132


def test_times_that_go_back_a_little_still_give_a_proven_block() -> None:
    times = [0, 10, 20, 19, 21, 30, 29, 40, 50]
    for target in range(50):
        [number], _, _ = search(times, [target])
        assert times[number] <= target < times[number + 1]


def test_a_remembered_block_is_proven_again(tmp_path: Path) -> None:
    targets = list(range(1_700_000_100, 1_700_004_000, 500))

    def ask(chain: FakeChain) -> tuple[list[int], int]:
        provider = FakeProvider(chain)

        async def inner() -> list[int]:
            session = a_session(provider)
            async with ChainClient.open(a_spec(), tmp_path / "c.json", FakeTime().clock, session) as client:
                return [b.number for b in await client.blocks_at_or_before(targets)]

        return asyncio.run(inner()), len(provider.calls)

    one, other = a_chain(2_000, seed=1), a_chain(2_000, seed=2)
    first, calls = ask(one)
    again, fewer = ask(one)
    assert first == again == [brute(one.times, t) for t in targets] and fewer < calls
    assert ask(other)[0] == [brute(other.times, t) for t in targets]  # another chain under the same file


def test_a_damaged_cache_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{not json")

    async def inner() -> int:
        provider = FakeProvider(a_chain(100))
        async with ChainClient.open(a_spec(), tmp_path / "c.json", FakeTime().clock, a_session(provider)) as client:
            return (await client.block_at_or_before(1_700_000_050)).number

    assert asyncio.run(inner()) > 0
