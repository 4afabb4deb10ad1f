"""No wait without bound or word, no body without a cap, no redirect, no name server that holds the process."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.evm.errors import ChainError, Disagreement, ProviderError
from extract.evm.transport import retry_after
from simulate.chain.lies import bomb
from tests.evm_fake import FakeProvider, FakeTime, a_chain, a_session, a_spec

CHAIN = a_chain(300)
Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


def over_http(answer: Answer, use: Callable[[ChainClient], Awaitable[Any]], **limits: Any) -> Any:
    """`use` with a client whose provider answers over real HTTP; the first two requests are answered truly."""
    provider, seen = FakeProvider(CHAIN), [0]

    async def serve(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen[0] += 1
        if seen[0] > 2:
            return await answer(request, body)
        status, headers, made = provider.handle(body)
        return web.Response(status=status, headers=headers, body=made, content_type="application/json")

    async def inner() -> Any:
        app = web.Application()
        app.router.add_post("/{tail:.*}", serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        spec = ProviderSpec("http", f"http://{host}:{port}/", **{"timeout_seconds": 0.3, **limits})
        try:
            async with ChainClient.open(
                ChainSpec("fake", 8453, (spec,), finality_depth=0, patience_seconds=1.0)
            ) as chain:
                return await use(chain)
        finally:
            await runner.cleanup()

    return asyncio.run(inner())


async def head(chain: ChainClient) -> Any:
    return await chain.head()


def test_a_gzip_bomb_is_read_up_to_the_cap() -> None:
    packed = bomb()

    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    tracemalloc.start()
    with pytest.raises(ProviderError, match="longer than 1,000,000 bytes"):
        over_http(answer, head, max_body_bytes=1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()


def test_a_packed_body_that_breaks_off_is_a_typed_refusal() -> None:
    async def answer(_: web.Request, __: bytes) -> web.Response:
        return web.Response(body=gzip.compress(b"x" * 9_000)[:-9], headers={"Content-Encoding": "gzip"})

    with pytest.raises(ProviderError, match="malformed: its packed body breaks off"):
        over_http(answer, head)


def test_a_body_that_trickles_meets_the_deadline_of_the_whole_request() -> None:
    async def answer(request: web.Request, _: bytes) -> web.StreamResponse:
        made = web.StreamResponse()
        await made.prepare(request)
        for _ in range(100):
            await made.write(b" ")
            await asyncio.sleep(0.05)
        return made

    started = time.monotonic()
    with pytest.raises(ProviderError, match=r"no whole answer within 0\.3 s"):
        over_http(answer, head)
    assert time.monotonic() - started < 12


def test_redirects_are_refused_unless_configured() -> None:
    provider = FakeProvider(CHAIN)

    async def answer(request: web.Request, body: bytes) -> web.Response:
        if request.path == "/":
            return web.Response(status=307, headers={"Location": "/there"})
        return web.Response(body=provider.handle(body)[2], content_type="application/json")

    with pytest.raises(ProviderError, match=r"redirected: HTTP 307 .* follow_redirects = true"):
        over_http(answer, head)
    assert over_http(answer, head, follow_redirects=True).number == CHAIN.head


def test_a_name_server_that_does_not_answer_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20))
    spec = ChainSpec("fake", 1, (ProviderSpec("far", "http://rpc.invalid/", timeout_seconds=0.3),), finality_depth=0)

    async def use() -> None:
        async with ChainClient.open(spec):
            pass

    started = time.monotonic()
    with pytest.raises(ChainError, match=r"far: server: no whole answer within 0\.3 s"):
        asyncio.run(use())
    assert time.monotonic() - started < 8


def run_fake(before: Any, clock: FakeTime, **spec: Any) -> Any:
    async def inner() -> Any:
        provider = FakeProvider(CHAIN, before=before)
        async with ChainClient.open(a_spec(**spec), clock=clock.clock, session=a_session(provider)) as chain:
            return await chain.head()

    return asyncio.run(inner())


def test_a_long_retry_after_is_capped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    def before(provider: FakeProvider, _: Any) -> Any:
        return (429, {"Retry-After": "86400"}, b"") if provider.requests == 3 else None

    clock = FakeTime()
    assert run_fake(before, clock, max_wait_seconds=40).number == CHAIN.head
    assert 39.9 <= clock.slept < 60
    assert "p0: rate: it asks for 86400 s of silence; it gets 40 s" in caplog.text
    assert "chain fake: waiting 40 s" in caplog.text


def test_only_nonsense_ends_within_the_patience(caplog: pytest.LogCaptureFixture) -> None:
    def before(provider: FakeProvider, _: Any) -> Any:
        return (429, {"Retry-After": "50"}, b"") if provider.requests > 2 else None

    clock = FakeTime()
    with pytest.raises(ProviderError, match="no useful answer for"):
        run_fake(before, clock, patience_seconds=120)
    assert clock.slept < 120 + 2 * 60
    assert caplog.text.count("chain fake: waiting") >= 3, "a heartbeat while it lasts"


@pytest.mark.parametrize("header", ["nan", "-5", "1e999", "soon", "٣", "Thu, 32 Foo 99999999999 00:00:00 GMT", ""])
def test_an_odd_retry_after_is_no_error(header: str) -> None:
    found = retry_after(header)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":0,"error":"busy"}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":"-32000","message":"busy"}}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":1e400,"message":{"a":1},"data":[1,{"b":2}]}}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"' + b"9" * 5_000 + b'"}}',
        b'{"jsonrpc":"2.0","id":"\xc2\xb2","result":"0x1"}',
        b'{"jsonrpc":"2.0","id":1e999,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":0,"result":' + b"9" * 5_000 + b"}",
        b'{"jsonrpc":"2.0","id":0,"result":{"number":"0x' + b"f" * 5_000 + b'"}}',
        b'{"jsonrpc":"2.0","id":0,"result":null,"error":null}',
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":0,"result":"\xd9\xa1"}',
    ],
    ids=range(11),
)
def test_any_nonsense_is_a_typed_refusal(body: bytes) -> None:
    with pytest.raises(ProviderError, match="p0 says"):
        run_fake(lambda provider, _: (200, {}, body) if provider.requests > 2 else None, FakeTime())


def headers_of(*providers: FakeProvider) -> Any:
    async def inner() -> Any:
        clock, session = FakeTime().clock, a_session(*providers)
        async with ChainClient.open(a_spec(len(providers), max_batch=1), clock=clock, session=session) as chain:
            for _ in range(6):
                await chain.blocks(range(10, 60), fresh=True)
            return [b.timestamp for b in await chain.blocks_at_or_before([CHAIN.times[100], CHAIN.times[200] + 1])]

    return asyncio.run(inner())


class WrongHeader(FakeProvider):
    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0].startswith("0x"):
            params = [hex(max(0, int(params[0], 16) - 2)), False]
        return super().answer(method, params)


class OtherHash(FakeProvider):
    def answer(self, method: str, params: list[Any]) -> Any:
        found = super().answer(method, params)
        return {**found, "hash": "0x" + "de" * 32} if method == "eth_getBlockByNumber" else found


def test_a_wrong_header_ends_in_its_name_and_never_in_a_loop() -> None:
    with pytest.raises(
        ProviderError, match=r"p0 says mismatch: asked for the header of block .* answers that of block"
    ):
        headers_of(WrongHeader(CHAIN))
    assert headers_of(WrongHeader(CHAIN), FakeProvider(CHAIN)) == [CHAIN.times[100], CHAIN.times[200]]


def test_headers_that_contradict_each_other_are_put_to_everybody(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Disagreement, match=r"contradict each other: block .* says"):
        headers_of(OtherHash(CHAIN), FakeProvider(CHAIN))
    found = headers_of(OtherHash(CHAIN), FakeProvider(CHAIN), FakeProvider(CHAIN))
    assert found == [CHAIN.times[100], CHAIN.times[200]]
    assert "p0 is passed over: it contradicts the other providers about block" in caplog.text
