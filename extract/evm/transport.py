"""One endpoint: calls go out as JSON-RPC over HTTP, answers or refusals come back. No retries here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import aiohttp
import msgspec

from extract.evm.config import ProviderSpec
from extract.evm.errors import BATCH_STATUSES, DecodeError, Kind, Refusal, classify
from extract.evm.pace import Clock, Pace
from extract.evm.redact import redact

_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_LARGE = 256 * 1024  # bytes
_EXCERPT = 300  # bytes of a body that are worth reading out when it is not JSON-RPC


@dataclass(frozen=True)
class RpcCall:
    """A method, its parameters and the msgspec type of its result.

    `read` makes of the decoded result what the caller wants; DecodeError in it is the provider's fault, and
    it may return a Refusal. `blocks`: width of a log range, for caps that have to be guessed.
    """

    method: str
    params: list[Any]
    result: Any
    read: Callable[[Any], Any] | None = None
    blocks: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A result and the name of the provider that gave it."""

    value: Any
    provider: str


Outcome: TypeAlias = Answer | Refusal


class _Error(msgspec.Struct):
    message: str = ""
    code: int | None = None
    data: msgspec.Raw = msgspec.Raw()


class _Envelope(msgspec.Struct):
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


@dataclass
class ProviderStats:
    """What one provider was asked: calls (batch items count), HTTP requests, body bytes, repeated calls."""

    calls: int = 0
    requests: int = 0
    bytes_received: int = 0
    retries: int = 0


@dataclass
class Reply:
    """Body of one HTTP answer, or the refusal that came instead."""

    body: bytes = b""
    status: int = 200
    retry_after: float | None = None
    failure: Refusal | None = None


_ENVELOPES = msgspec.json.Decoder(list[_Envelope])
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_encode = msgspec.json.Encoder().encode
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(of: Any) -> msgspec.json.Decoder[Any]:
    """A JSON decoder per type, made once."""
    if of not in _decoders:
        _decoders[of] = msgspec.json.Decoder(of)
    return _decoders[of]


@dataclass
class Endpoint:
    """A provider's HTTP endpoint with its own pace, batch size and count of requests in flight."""

    spec: ProviderSpec
    session: aiohttp.ClientSession
    clock: Clock
    stats: ProviderStats = field(default_factory=ProviderStats)
    max_batch: int = 1
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.max_batch = self.spec.max_batch
        self.pace = Pace(self.spec.requests_per_second, self.clock)
        self._slots = asyncio.Semaphore(self.spec.max_in_flight)

    @property
    def name(self) -> str:
        return self.spec.name

    async def ask(self, calls: Sequence[RpcCall]) -> list[Outcome]:
        """One HTTP request with up to `max_batch` calls; one Answer or Refusal per call, in order."""
        self.in_flight += 1
        try:
            async with self._slots:
                await self.pace.take(len(calls))
                reply = await self._post(encode_calls(calls))
        finally:
            self.in_flight -= 1
        self.stats.requests += 1
        self.stats.calls += len(calls)
        self.stats.bytes_received += len(reply.body)
        if reply.failure is not None:
            return [self._signed(reply.failure)] * len(calls)
        results = await _decode(reply, calls)
        return [self._signed(r) if isinstance(r, Refusal) else Answer(r, self.name) for r in results]

    async def _post(self, body: bytes) -> Reply:
        timeout = aiohttp.ClientTimeout(total=self.spec.timeout_seconds)
        try:
            async with self.session.post(self.spec.url, data=body, headers=_HEADERS, timeout=timeout) as answer:
                after = retry_after(answer.headers.get("Retry-After"))
                return Reply(await answer.read(), answer.status, after)
        except TimeoutError:
            return Reply(failure=Refusal(Kind.SERVER, f"no answer within {self.spec.timeout_seconds:g} s"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reply(failure=Refusal(Kind.SERVER, redact(f"{type(error).__name__}: {error}")))

    def _signed(self, refusal: Refusal) -> Refusal:
        return replace(refusal, provider=self.name)


async def _decode(reply: Reply, calls: Sequence[RpcCall]) -> list[Any | Refusal]:
    """decode_reply, for megabytes in a thread: numpy lets go of the interpreter, so the next requests leave meanwhile
    (measured: 200,000 logs in 1.04 s instead of 1.57 s).
    """
    if len(reply.body) < _LARGE:
        return decode_reply(reply, calls)
    return await asyncio.to_thread(decode_reply, reply, calls)


def encode_calls(calls: Sequence[RpcCall]) -> bytes:
    """JSON-RPC request body: an object for one call, an array for several; ids are positions."""
    items = [{"jsonrpc": "2.0", "id": i, "method": c.method, "params": c.params} for i, c in enumerate(calls)]
    return _encode(items[0] if len(items) == 1 else items)


def decode_reply(reply: Reply, calls: Sequence[RpcCall]) -> list[Any | Refusal]:
    """Results by id. An answer that is missing, doubled, of a wrong id or shape is a refusal of its call."""
    bare = bare_result(reply) if len(calls) == 1 and calls[0].result is msgspec.Raw else None
    if bare is not None:
        return [_read(calls[0], bare)]
    try:
        is_list = reply.body.lstrip()[:1] == b"["
        envelopes = _ENVELOPES.decode(reply.body) if is_list else [_ENVELOPE.decode(reply.body)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [_not_json_rpc(reply, len(calls))] * len(calls)
    if not is_list and (envelopes[0].id is None or len(calls) > 1 or reply.status >= 400):
        return [_refused_whole(reply, envelopes[0], calls)] * len(calls)
    by_id = {_position(e.id): e for e in envelopes}
    if len(by_id) < len(envelopes):
        return [Refusal(Kind.MALFORMED, "an id came twice in one batch")] * len(calls)
    return [_answer(by_id.get(i), call, reply) for i, call in enumerate(calls)]


def _position(identity: int | str | None) -> int | None:
    """Ids come back as sent; some proxies turn numbers into text."""
    if isinstance(identity, str):
        return int(identity) if identity.isdigit() else None
    return identity


def _answer(envelope: _Envelope | None, call: RpcCall, reply: Reply) -> Any | Refusal:
    if envelope is None:
        return Refusal(Kind.MALFORMED, f"no answer to {call.method} in the batch")
    if envelope.error is not None:
        return _refusal(envelope.error, reply, call.blocks)
    raw = memoryview(envelope.result)
    if not raw.nbytes:
        return Refusal(Kind.MALFORMED, f"neither result nor error for {call.method}")
    return _read(call, raw)


def _read(call: RpcCall, raw: bytes | memoryview) -> Any | Refusal:
    try:
        result = raw if call.result is msgspec.Raw else decoder(call.result).decode(raw)
        return result if call.read is None else call.read(result)
    except (msgspec.DecodeError, UnicodeDecodeError, DecodeError) as error:
        return Refusal(Kind.MALFORMED, redact(f"result of {call.method}: {error}"))


def bare_result(reply: Reply) -> bytes | None:
    """The result in a reply that starts as nodes start them, cut out unread; None otherwise. Megabytes of logs are
    then parsed once, by whoever reads them, and not a first time to find where the result ends.
    """
    start = _BARE.match(reply.body) if reply.status < 400 else None
    end = reply.body.rfind(b"}", -3) if start else -1  # some nodes end with a line feed
    return reply.body[start.end() : end] if start and end > 0 else None


_BARE = re.compile(rb'\{(?:"jsonrpc":"2\.0","id":0|"id":0,"jsonrpc":"2\.0"),"result":(?=\[)')


def _refusal(error: _Error, reply: Reply, blocks: int | None) -> Refusal:
    data = _text(error.data)
    refusal = classify(error.message, error.code, reply.status, data, blocks)
    return replace(refusal, retry_after=reply.retry_after)


def _text(raw: msgspec.Raw) -> str:
    """Error data as text: a JSON string unquoted, anything else as it stands."""
    text = bytes(raw).decode(errors="replace")
    return str(json.loads(text)) if text.startswith('"') else text


def _refused_whole(reply: Reply, envelope: _Envelope, calls: Sequence[RpcCall]) -> Refusal:
    """One object for the whole request: an error that concerns all of it, or nonsense."""
    if envelope.error is None and reply.status < 400:
        return Refusal(Kind.MALFORMED, "one answer for several calls, or an answer without id")
    error = envelope.error or _Error(message=f"HTTP {reply.status}")
    return _batch_or(_refusal(error, reply, calls[0].blocks), reply.status, len(calls))


def _not_json_rpc(reply: Reply, calls: int) -> Refusal:
    excerpt = reply.body[:_EXCERPT].decode(errors="replace")
    if reply.status < 400:
        return Refusal(Kind.MALFORMED, redact(f"not JSON-RPC: {excerpt[:80]!r}"))
    refusal = classify(f"HTTP {reply.status} {excerpt}", None, reply.status)
    return _batch_or(replace(refusal, retry_after=reply.retry_after), reply.status, calls)


def _batch_or(refusal: Refusal, status: int, calls: int) -> Refusal:
    """Statuses that mean "not as a batch" say so only for a batch, and only when the text says nothing
    better.
    """
    if calls > 1 and refusal.kind is Kind.OTHER and (status in BATCH_STATUSES or status < 400):
        return replace(refusal, kind=Kind.BATCH)
    return refusal


def retry_after(header: str | None) -> float | None:
    """Seconds of a Retry-After header (number or HTTP date), None without a readable one."""
    if not header:
        return None
    with suppress(ValueError):
        return max(0.0, float(header))
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
