"""Whatever a provider refuses and however it fails: every log once, in order, ranges that tile, or a typed
error.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.errors import RequestError
from extract.evm.cache import Cache
from extract.evm.client import ChainClient
from extract.evm.errors import Kind, ProviderError, RangeTooDense, Refusal
from extract.evm.ranges import Plan, Width
from tests.evm_fake import (
    EMITTER,
    TOPIC,
    FakeProvider,
    FakeTime,
    Refuse,
    a_chain,
    a_session,
    a_spec,
    expected_logs,
    range_cap,
    result_cap,
)

RANGE_WORDS = [
    "up to a {cap} block range. Based on your parameters, this block range should work: [{from}, {to}]",
    "range {asked} exceeds limit of {cap}",
    "eth_getLogs is limited to a {cap} range",
    "ranges over {cap} blocks are not supported on freetier",
    "query exceeds max block range {cap}",
    "block range exceeds configured limit",
    "block range is too wide",
    "Block range limit exceeded.",
    "block range too large",
    "maximum block range: {cap}",
    "exceeds the range allowed for your plan ({asked} > {cap})",
    "block range should work: [{from}, {from}], block range too large",
]
RESULT_WORDS = [
    "query returned more than {cap} results",
    "query returned more than {cap} results. Try with this block range [{from}, {to}].",
    "query exceeds max results {cap}, retry with the range {a}-{b}",
    "Log response size exceeded. this block range should work: [{from}, {to}]",
    "Response is too big",
    "query timeout exceeded",
]
SUGGESTIONS = {
    "half": None,
    "same": lambda first, last: (first, last),  # paradigmxyz/reth#23810: the suggestion repeats the question
    "elsewhere": lambda first, last: (first + 1, last),
    "upside down": lambda first, last: (last, first),
}


def faults(share: float, seed: int) -> Any:
    """Random failures of every kind on a share of the requests after the introduction."""
    chance = random.Random(seed)
    bad = [
        (500, {}, b""),
        (429, {"Retry-After": "1"}, b""),
        (429, {}, b"{}"),
        (200, {}, b"<html>"),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"result":[{"address":1}]}'),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"rate limit"}}'),
        TimeoutError(),
        ConnectionResetError("reset"),
    ]

    def before(provider: FakeProvider, _: Any) -> Any:
        return chance.choice(bad) if provider.requests > 2 and chance.random() < share else None

    return before


def scan(providers: list[FakeProvider], first: int, last: int, addresses: tuple[str, ...] = (EMITTER,)) -> list[Any]:
    async def inner() -> list[Any]:
        session, clock = a_session(*providers), FakeTime().clock
        async with ChainClient.open(a_spec(len(providers)), clock=clock, session=session) as chain:
            return [chunk async for chunk in chain.logs(addresses, [[TOPIC]], first, last)]

    return asyncio.run(inner())


@st.composite
def a_provider(draw: Any, chain: Any) -> FakeProvider:
    cap, results = draw(st.integers(1, 600)), draw(st.integers(3, 400))
    rules = draw(
        st.lists(
            st.one_of(
                st.builds(range_cap, st.just(cap), st.sampled_from(RANGE_WORDS), exclusive=st.booleans()),
                st.builds(
                    result_cap,
                    st.just(results),
                    st.sampled_from(RESULT_WORDS),
                    suggest=st.sampled_from(list(SUGGESTIONS.values())),
                ),
            ),
            max_size=2,
        )
    )
    if cap == 1:  # an exclusive cap of one block would refuse every request
        rules = [] if rules else rules
    return FakeProvider(
        chain,
        rules,
        faults(draw(st.sampled_from([0, 0, 0.1, 0.3])), draw(st.integers(0, 99))),
        timed=draw(st.booleans()),
        shuffled=draw(st.booleans()),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_log_once_in_order(data: Any) -> None:
    blocks = data.draw(st.integers(1, 3_000))
    chain = a_chain(
        blocks,
        data.draw(st.integers(0, 99)),
        data.draw(st.integers(1, 12)),
        data.draw(st.sampled_from([0, 0.01, 0.3, 1])),
    )
    first = data.draw(st.integers(0, chain.head))
    last = data.draw(st.integers(first, chain.head))
    providers = [data.draw(a_provider(chain)) for _ in range(data.draw(st.integers(1, 3)))]
    chunks = scan(providers, first, last)
    found = [
        pair
        for chunk in chunks
        for pair in zip(chunk.table["block_number"].to_pylist(), chunk.table["log_index"].to_pylist(), strict=True)
    ]
    assert found == list(expected_logs(chain, first, last))
    edges = [first - 1] + [chunk.to_block for chunk in chunks]
    assert [chunk.from_block for chunk in chunks] == [edge + 1 for edge in edges[:-1]] and edges[-1] == last
    for chunk in chunks:
        times = zip(chunk.table["block_number"].to_pylist(), chunk.table["block_timestamp"].to_pylist(), strict=True)
        assert all(chain.times[number] == time for number, time in times)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("words", RANGE_WORDS)
def test_a_range_cap_is_learned_in_few_errors(words: str, exclusive: bool) -> None:
    chain = a_chain(5_000, share=0.01)
    provider = FakeProvider(chain, [range_cap(100, words, exclusive=exclusive)])
    scan([provider], 0, chain.head)
    asked = [last - first + 1 for first, last in provider.log_ranges()]
    refused = [blocks for blocks in asked if blocks - exclusive + 1 > 101 - exclusive]
    assert len(refused) <= 8
    assert len(asked) <= (5_000 // (1 if "{from}, {from}" in words else 25)) + 20


def test_the_hint_saves_the_bisection() -> None:
    chain = a_chain(10_001, share=0.01)
    provider = FakeProvider(chain, [range_cap(10, RANGE_WORDS[0])])
    scan([provider], 0, chain.head)
    assert len(provider.log_ranges()) <= 1_006  # facts: 1,006 with the hint, 1,936 bisecting


def test_a_sparse_event_costs_a_few_calls() -> None:
    chain = a_chain(10_001, share=0.01)
    provider = FakeProvider(chain, [result_cap(10_000, RESULT_WORDS[0])])
    scan([provider], 0, chain.head)
    assert len(provider.log_ranges()) <= 5


def test_caps_outlive_the_client(tmp_path: Any) -> None:
    chain = a_chain(500)

    async def calls() -> int:
        provider = FakeProvider(chain, [range_cap(10, "block range exceeds configured limit")])
        session = a_session(provider)
        async with ChainClient.open(a_spec(), tmp_path / "c.json", FakeTime().clock, session) as client:
            async for _ in client.logs([EMITTER], [], 0, 499):
                pass
        return len(provider.log_ranges())

    first, second = asyncio.run(calls()), asyncio.run(calls())
    assert second < first and Cache(tmp_path / "c.json").cap("p0") in range(5, 11)


def test_rate_limits_never_split() -> None:
    chain = a_chain(3_000, share=0.01)
    chance = random.Random(3)

    def before(provider: FakeProvider, _: Any) -> Any:
        return (429, {"Retry-After": "1"}, b"") if provider.requests > 2 and chance.random() < 0.4 else None

    provider = FakeProvider(chain, before=before)
    scan([provider], 0, chain.head)
    assert {last - first + 1 for first, last in provider.log_ranges()} <= {250, 2_750}  # as without any fault


def too_wide(cap: int, answer: Any) -> Any:
    """What a gateway answers where a range is more than it manages: never a word of ranges."""

    def before(provider: FakeProvider, items: Any) -> Any:
        for item in items:
            if item["method"] == "eth_getLogs":
                asked = item["params"][0]
                if int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) + 1 > cap:
                    return answer
        return None

    return before


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32099,"message":"the cistern is full"}}'),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"error":"the cistern is full"}'),
        (413, {}, b"<html>Request Entity Too Large</html>"),
        (504, {}, b"<html>Gateway Time-out</html>"),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"result":[{"address":"0x'),
        TimeoutError(),
    ],
    ids=["unknown words", "bare text", "413", "504", "cut", "time-out"],
)
def test_what_may_be_too_wide_is_halved(answer: Any) -> None:
    chain = a_chain(3_000, share=0.05)
    provider = FakeProvider(chain, before=too_wide(60, answer))
    chunks = scan([provider], 0, chain.head)
    assert sum(chunk.table.num_rows for chunk in chunks) == len(chain.logs)
    assert len(provider.log_ranges()) < 400


def test_unknown_words_about_a_single_block_end_within_the_budget() -> None:
    answer = (200, {}, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32099,"message":"no"}}')
    provider = FakeProvider(a_chain(300), before=too_wide(0, answer))
    with pytest.raises(ProviderError, match="p0 says other: no"):
        scan([provider], 0, 299)
    assert len(provider.log_ranges()) < 60


def test_a_single_block_that_is_refused_is_a_typed_error() -> None:
    def refuse(*_: Any) -> None:
        raise Refuse(-32005, "query returned more than 10 results")

    with pytest.raises(RangeTooDense, match="block 0"):
        scan([FakeProvider(a_chain(50), [refuse])], 0, 49)


def test_long_address_lists_are_cut() -> None:
    chain = a_chain(400, emitters=40)
    everybody = tuple(sorted({address for _, _, address in chain.logs}))
    chunks = scan([FakeProvider(chain, most_addresses=7)], 0, 399, everybody)
    assert sum(chunk.table.num_rows for chunk in chunks) == len(chain.logs)


def test_a_full_block_is_asked_by_address() -> None:
    chain = a_chain(30, most_per_block=40, share=1.0, emitters=10)

    def refuse(_: FakeProvider, first: int, last: int, found: int) -> None:
        if found > 10:
            raise Refuse(-32005, "query returned more than 10 results")

    everybody = tuple(sorted({address for _, _, address in chain.logs}))
    chunks = scan([FakeProvider(chain, [refuse])], 0, 29, everybody)
    found = [n for chunk in chunks for n in chunk.table["block_number"].to_pylist()]
    assert found == [block for block, _, _ in chain.logs]


def test_a_silent_cut_at_a_round_number_is_noticed() -> None:
    chain = a_chain(2_000, most_per_block=2, share=1.0)

    class Cutting(FakeProvider):
        def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
            return super()._logs(query)[:1_000]

    chunks = scan([Cutting(chain)], 0, 1_999)
    assert sum(chunk.table.num_rows for chunk in chunks) == len(chain.logs)


def test_leaving_a_scan_early_and_memory_bound_by_the_reader() -> None:
    chain = a_chain(4_000)

    async def inner() -> None:
        provider = FakeProvider(chain, [range_cap(10, RANGE_WORDS[0])])
        async with ChainClient.open(a_spec(), clock=FakeTime().clock, session=a_session(provider)) as client:
            async for _ in client.logs([EMITTER], [], 0, 3_999):
                await asyncio.sleep(0.02)
                break
            assert len(provider.log_ranges()) < 20
            with pytest.raises(RequestError):
                async for _ in client.logs([], [], 9, 3):
                    pass

    asyncio.run(inner())


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=200), st.integers(1, 500), st.randoms())
def test_a_plan_tiles_its_range(steps: list[tuple[int, bool]], blocks: int, chance: random.Random) -> None:
    plan: Plan[int] = Plan(1, blocks)
    tiles: list[tuple[int, int]] = []
    for width, refused in [*steps, *[(7, False)] * 1_000]:
        if plan.may_take(5):
            plan.take(width)
        if plan.taken:
            start = chance.choice(sorted(plan.taken))
            if refused:
                plan.give_back(start)
            else:
                plan.finish(start, 0)
        while found := plan.deliver():
            tiles.append(found[:2])
        assert len(plan.done) + len(plan.taken) <= 6
    assert plan.is_delivered and not plan.open and not plan.taken
    assert [n for low, high in tiles for n in range(low, high + 1)] == list(range(1, blocks + 1))


@given(
    st.sampled_from([Kind.RANGE, Kind.RESULTS, Kind.SIZE, Kind.TIME]),
    st.none() | st.integers(0, 10**6),
    st.none() | st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    st.integers(0, 10**6),
    st.integers(1, 10**6),
)
def test_a_refusal_always_narrows(kind: Kind, cap: int | None, hint: Any, first: int, more: int) -> None:
    width = Width(soft=more + 1)
    width.refused(Refusal(kind, "", cap=cap, suggested=hint), first, first + more)
    assert 1 <= width.blocks <= more
