"""Endpoints: failover, rate limits, circuit breaker, wrong chain, lag, and answers that are no answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import AboveFinality, ChainError, Disagreement, ProviderError
from extract.evm.pace import Pace
from extract.evm.waits import Waits
from tests.evm_fake import (
    EMITTER,
    TOPIC,
    FakeChain,
    FakeProvider,
    FakeTime,
    Refuse,
    a_chain,
    a_session,
    a_spec,
)
from tests.evm_fake import expected_logs as expected

CHAIN = a_chain(400)
Items = list[dict[str, Any]]


def run(
    use: Callable[[ChainClient], Awaitable[Any]],
    *providers: FakeProvider,
    time: FakeTime | None = None,
    **spec: Any,
) -> Any:
    """`use` with a client on the given fake providers."""

    async def inner() -> Any:
        chain_spec = a_spec(len(providers), **spec)
        async with ChainClient.open(
            chain_spec, clock=(time or FakeTime()).clock, session=a_session(*providers)
        ) as chain:
            return await use(chain)

    return asyncio.run(inner())


def failing(
    times: int, answer: tuple[int, dict[str, str], bytes], skip: int = 2
) -> Callable[[FakeProvider, Items], Any]:
    """Answer requests number skip+1 .. skip+times with `answer`; the first two are the introduction."""

    def before(provider: FakeProvider, _: Items) -> Any:
        return answer if skip < provider.requests <= skip + times else None

    return before


async def head(chain: ChainClient) -> Any:
    return await chain.head()


async def all_logs(chain: ChainClient) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    async for chunk in chain.logs([EMITTER], [[TOPIC]], 0, CHAIN.head):
        found += zip(chunk.table["block_number"].to_pylist(), chunk.table["log_index"].to_pylist(), strict=True)
    return found


def test_finality() -> None:
    async def use(chain: ChainClient) -> None:
        assert (await chain.finalized()).number == CHAIN.head - 30
        with pytest.raises(AboveFinality, match=f"end the range at {CHAIN.head - 30}"):
            async for _ in chain.logs([], [], 0, CHAIN.head):
                pass

    run(use, FakeProvider(CHAIN), finality_depth=30)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>gateway</html>"),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"result":'),
        (200, {}, b'{"jsonrpc":"2.0","id":77,"result":"0x1"}'),
        (200, {}, b'{"jsonrpc":"2.0","id":0}'),
        (200, {}, b'{"jsonrpc":"2.0","id":0,"result":{"number":7}}'),
        (200, {}, b"[]"),
        (200, {}, b"\xff\xfe"),
        (500, {}, b"oops"),
        (502, {}, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"bad gateway"}}'),
        (429, {}, b""),
    ],
)
def test_bad_answers_are_asked_again(answer: tuple[int, dict[str, str], bytes]) -> None:
    provider = FakeProvider(CHAIN, before=failing(3, answer))
    assert run(head, provider).number == CHAIN.head
    assert provider.requests == 6


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError("reset"), OSError("no route")])
def test_broken_connections_are_tried_again(error: Exception) -> None:
    provider = FakeProvider(CHAIN, before=failing(2, error))  # type: ignore[arg-type]
    assert run(head, provider).number == CHAIN.head


def test_a_provider_that_never_answers_ends_in_a_typed_error() -> None:
    provider = FakeProvider(CHAIN, before=failing(10_000, (500, {}, b"")))
    with pytest.raises(ProviderError, match="p0 says server"):
        run(head, provider)


def test_dropped_batch_items_are_asked_again_alone() -> None:
    def before(provider: FakeProvider, items: Items) -> Any:
        if provider.requests != 3:
            return None
        answers = [
            {"jsonrpc": "2.0", "id": i["id"], "result": provider.answer(i["method"], i["params"])} for i in items
        ]
        return 200, {}, json.dumps(answers[::-1][1:]).encode()  # reversed, and without the last

    async def use(chain: ChainClient) -> list[int]:
        return [b.number for b in await chain.blocks(range(10))]

    provider = FakeProvider(CHAIN, before=before)
    assert run(use, provider) == list(range(10))
    assert [c["params"][0] for c in provider.calls[12:]] == ["0x9"]


def test_a_refused_batch_becomes_smaller_ones() -> None:
    def before(_: FakeProvider, items: Items) -> Any:
        return (413, {}, b"Payload Too Large") if len(items) > 7 else None

    async def use(chain: ChainClient) -> list[int]:
        return [b.number for b in await chain.blocks(range(100))]

    assert run(use, FakeProvider(CHAIN, before=before)) == list(range(100))


def test_retry_after_is_honoured_and_the_rate_goes_down() -> None:
    time = FakeTime()
    provider = FakeProvider(CHAIN, before=failing(1, (429, {"Retry-After": "7"}, b"")))

    async def use(chain: ChainClient) -> float | None:
        started = time.time
        await chain.head()
        assert time.time - started >= 7
        return chain._pool.endpoints[0].pace.rate

    assert run(use, provider, time=time, requests_per_second=20) == pytest.approx(14, rel=0.2)


def test_the_pace_is_kept_and_batch_items_count() -> None:
    time = FakeTime()

    async def use(chain: ChainClient) -> float:
        started = time.time
        await chain.blocks(range(300))
        return time.time - started

    took = run(use, FakeProvider(CHAIN), time=time, requests_per_second=25)
    assert 300 / 25 - 4 < took < 300 / 25 + 1


def test_the_pace_recovers() -> None:
    time = FakeTime()
    pace = Pace(10, Waits("p", time.clock))
    pace.refused(None)
    assert pace.rate == pytest.approx(7)
    time.time += 60
    asyncio.run(pace.take(1))
    assert pace.rate == 10


def test_failover_to_the_healthy_provider() -> None:
    sick = FakeProvider(CHAIN, before=failing(10_000, (503, {}, b"")))
    well = FakeProvider(CHAIN)
    assert run(all_logs, sick, well) == list(expected(CHAIN, 0, CHAIN.head))
    assert sick.requests < 30


def test_a_quota_stops_a_provider_for_good() -> None:
    message = b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"Monthly capacity limit exceeded"}}'
    broke = FakeProvider(CHAIN, before=failing(10_000, (200, {}, message)))

    async def use(chain: ChainClient) -> None:
        for _ in range(20):
            await chain.head()

    run(use, broke, FakeProvider(CHAIN))
    assert broke.requests <= 3
    with pytest.raises(ProviderError, match="p0: Monthly capacity"):
        run(use, FakeProvider(CHAIN, before=failing(10_000, (200, {}, message))))


def test_the_circuit_opens_and_is_tried_again() -> None:
    time = FakeTime()
    flaky = FakeProvider(CHAIN, before=failing(8, (500, {}, b"")))

    async def use(chain: ChainClient) -> None:
        health = chain._pool.health["p0"]
        await chain.head()
        assert health.rests == 0 and health.failures == 0

    run(use, flaky, time=time)
    assert time.slept >= 2  # rested at least once before the call that closed the circuit


def test_a_wrong_chain_is_refused_by_name() -> None:
    other = FakeProvider(FakeChain(CHAIN.times, CHAIN.logs, chain_id=1))
    with pytest.raises(ChainError, match="p0: it serves chain id 1, not 8453"):
        run(head, other)


def test_a_wrong_chain_among_good_ones_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    other = FakeProvider(FakeChain(CHAIN.times, CHAIN.logs, chain_id=1))
    assert run(all_logs, other, FakeProvider(CHAIN)) == list(expected(CHAIN, 0, CHAIN.head))
    assert other.requests == 2 and "p0 is passed over: it serves chain id 1" in caplog.text


def test_an_endpoint_far_behind_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    behind = FakeProvider(CHAIN, head=50)
    assert run(all_logs, behind, FakeProvider(CHAIN)) == list(expected(CHAIN, 0, CHAIN.head))
    assert not behind.log_ranges() and "behind the best provider" in caplog.text


def test_an_endpoint_a_little_behind_gives_no_short_answers() -> None:
    behind = FakeProvider(CHAIN, head=CHAIN.head - 3)
    spec = {"max_lag_seconds": 10_000, "max_block_range": 50}
    assert run(all_logs, behind, FakeProvider(CHAIN), **spec) == list(expected(CHAIN, 0, CHAIN.head))


def dropping(every: int) -> FakeProvider:
    """A provider that leaves out every so-manyth log, and nothing else."""
    return FakeProvider(FakeChain(CHAIN.times, [x for i, x in enumerate(CHAIN.logs) if i % every]))


def test_two_that_disagree_are_named_and_nobody_is_believed() -> None:
    with pytest.raises(Disagreement, match=r"p\d and p\d disagree about the logs of blocks"):
        run(all_logs, dropping(5), FakeProvider(CHAIN), confirm_share=1.0)


def test_a_third_provider_decides_and_who_dropped_logs_is_used_no_more(caplog: pytest.LogCaptureFixture) -> None:
    found = run(all_logs, dropping(5), FakeProvider(CHAIN), FakeProvider(CHAIN), confirm_share=1.0)
    assert found == list(expected(CHAIN, 0, CHAIN.head))
    assert "p0 is passed over: it leaves out or adds logs" in caplog.text


def test_a_range_says_how_it_was_confirmed() -> None:
    async def use(chain: ChainClient) -> set[str]:
        return {chunk.confirmation async for chunk in chain.logs([EMITTER], [[TOPIC]], 0, CHAIN.head)}

    assert run(use, FakeProvider(CHAIN), FakeProvider(CHAIN), confirm_share=1.0) == {"second_provider"}
    assert run(use, FakeProvider(CHAIN), confirm_share=1.0) == {"unconfirmed"}
    assert run(use, FakeProvider(CHAIN), FakeProvider(CHAIN), confirm_share=0.0) == {"unconfirmed"}


def test_an_unsupported_method_is_not_asked_for_ever() -> None:
    def refuse(*_: Any) -> None:
        raise Refuse(-32601, "eth_getLogs is not available")

    lame = FakeProvider(CHAIN, [refuse])
    with pytest.raises(ProviderError, match="not available"):
        run(all_logs, lame)
    assert len(lame.log_ranges()) == 1
    assert run(all_logs, lame, FakeProvider(CHAIN)) == list(expected(CHAIN, 0, CHAIN.head))


def test_over_real_http() -> None:
    """The same through aiohttp on both sides: gzip, keep-alive, a 429 with Retry-After."""
    provider = FakeProvider(CHAIN, before=failing(1, (429, {"Retry-After": "0.01"}, b"slow down")))

    async def answer(request: web.Request) -> web.Response:
        status, headers, body = provider.handle(await request.read())
        response = web.Response(status=status, headers=headers, body=body, content_type="application/json")
        response.enable_compression()
        return response

    async def use() -> list[tuple[int, int]]:
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        spec = ChainSpec("fake", 8453, (ProviderSpec("http", f"http://{host}:{port}/"),), finality_depth=0)
        try:
            async with ChainClient.open(spec) as chain:
                found = await all_logs(chain)
                assert chain.stats["http"].retries == 1 and chain.stats["http"].bytes_received > 10_000
                return found
        finally:
            await runner.cleanup()

    assert asyncio.run(use()) == list(expected(CHAIN, 0, CHAIN.head))
