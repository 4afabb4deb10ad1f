"""One endpoint: calls go out as JSON-RPC over HTTP, answers or refusals come back. No retries here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import aiohttp
import msgspec
import pyarrow as pa
from aiohttp.http_exceptions import HttpProcessingError

from extract.evm.body import ENCODINGS, TooLong, read_body
from extract.evm.config import ProviderSpec
from extract.evm.errors import DecodeError, Kind, Refusal
from extract.evm.pace import Pace, Slots, share_of
from extract.evm.quantity import excerpt
from extract.evm.redact import redact
from extract.evm.sayings import BATCH_STATUSES, classify
from extract.evm.waits import Waits

_HEADERS = {"content-type": "application/json", "accept": "application/json", "accept-encoding": ENCODINGS}
_BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
# what reading an answer may end in, whatever was sent: too deep, too large a number, no text, not what was declared
_UNREADABLE = (
    msgspec.MsgspecError,
    DecodeError,
    ValueError,
    OverflowError,
    RecursionError,
    TypeError,
    LookupError,
    pa.ArrowException,
)
_LARGE = 256 * 1024  # bytes
_NO_OTHER = aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None)  # the one deadline is ours
_EXCERPT = 300  # bytes of a body that are worth reading out when it is not JSON-RPC


@dataclass(frozen=True)
class RpcCall:
    """A method, its parameters and the msgspec type of its result.

    `read` makes of the decoded result what the caller wants; DecodeError in it is the provider's fault, and
    it may return a Refusal. `blocks`: width of a log range, for caps that have to be guessed. `by_hash`: the
    parameters with the block named by its hash (EIP-1898), for endpoints that take it. `divisible`: the caller
    can ask for less, so what looks like too much is his to halve.
    """

    method: str
    params: list[Any]
    result: Any
    read: Callable[[Any], Any] | None = None
    blocks: int | None = None
    by_hash: list[Any] | None = None
    divisible: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, the name of the provider that gave it, and whether calls around it proved the block."""

    value: Any
    provider: str
    is_bracketed: bool = False


Outcome: TypeAlias = Answer | Refusal


@dataclass(frozen=True)
class _Error:
    """A JSON-RPC error as far as it can be read: members of any type, or a bare text."""

    message: str = ""
    code: int | None = None
    data: str = ""


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()

    @property
    def has_error(self) -> bool:
        return bytes(self.error) not in (b"", b"null")


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
    waits: Waits
    stats: ProviderStats = field(default_factory=ProviderStats)
    max_batch: int = 1
    in_flight: int = 0
    takes_hashes: bool | None = None  # whether blocks may be named by hash; None: not known yet
    has_true_times: bool | None = None  # whether the block times in its logs are those of the headers; None: not known

    def __post_init__(self) -> None:
        self.max_batch = self.spec.max_batch
        self.pace = Pace(self.spec.requests_per_second, self.waits, self.spec.max_wait_seconds)
        self._slots = Slots(self.spec.max_in_flight)

    @property
    def name(self) -> str:
        return self.spec.name

    def share(self, among: int) -> None:
        """Ask as one of `among` processes that share this provider's limits."""
        self.pace.share(share_of(self.spec.requests_per_second, among))
        self._slots.share(max(1, self.spec.max_in_flight // among))

    async def ask(self, calls: Sequence[RpcCall]) -> list[Outcome]:
        """One HTTP request with up to `max_batch` calls; one Answer or Refusal per call, in order."""
        self.in_flight += 1
        try:
            async with self._slots:
                await self.pace.take(len(calls), f"{self.name} takes no more calls at once")
                reply = await self._post(encode_calls(calls, self.takes_hashes is not False))
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
        """The whole exchange under one deadline: name look-up, connection, waiting and body."""
        try:
            async with asyncio.timeout(self.spec.timeout_seconds):
                return await self._exchange(body)
        except TimeoutError:
            return Reply(failure=Refusal(Kind.SERVER, f"no whole answer within {self.spec.timeout_seconds:g} s"))
        except TooLong:
            said = f"its answer is longer than {self.spec.max_body_bytes:,} bytes (max_body_bytes)"
            return Reply(failure=Refusal(Kind.SIZE, said))
        except DecodeError as error:
            return Reply(failure=Refusal(Kind.MALFORMED, redact(error)))
        except _BROKEN as error:
            return Reply(failure=Refusal(Kind.SERVER, redact(f"{type(error).__name__}: {error}")[:_EXCERPT]))

    async def _exchange(self, body: bytes) -> Reply:
        follow = self.spec.follow_redirects
        request = self.session.post(
            self.spec.url, data=body, headers=_HEADERS, timeout=_NO_OTHER, allow_redirects=follow, auto_decompress=False
        )
        async with request as answer:
            if 300 <= answer.status < 400:
                said = f"HTTP {answer.status} sends the request elsewhere: set follow_redirects = true if that is meant"
                return Reply(failure=Refusal(Kind.REDIRECTED, said))
            after = retry_after(answer.headers.get("Retry-After"))
            return Reply(await read_body(answer, self.spec.max_body_bytes), answer.status, after)

    def _signed(self, refusal: Refusal) -> Refusal:
        return replace(refusal, provider=self.name)


async def _decode(reply: Reply, calls: Sequence[RpcCall]) -> list[Any | Refusal]:
    """decode_reply, for megabytes in a thread: numpy lets go of the interpreter, so the next requests leave meanwhile
    (measured: 200,000 logs in 1.04 s instead of 1.57 s).
    """
    if len(reply.body) < _LARGE:
        return decode_reply(reply, calls)
    return await asyncio.to_thread(decode_reply, reply, calls)


def encode_calls(calls: Sequence[RpcCall], by_hash: bool = False) -> bytes:
    """JSON-RPC request body: an object for one call, an array for several; ids are positions. `by_hash`: blocks are
    named by their hash where a call has that form.
    """
    items = [
        {"jsonrpc": "2.0", "id": i, "method": c.method, "params": (c.by_hash if by_hash else None) or c.params}
        for i, c in enumerate(calls)
    ]
    return _encode(items[0] if len(items) == 1 else items)


def decode_reply(reply: Reply, calls: Sequence[RpcCall]) -> list[Any | Refusal]:
    """Results by id. An answer that is missing, doubled, of a wrong id or shape is a refusal of its call."""
    bare = bare_result(reply) if len(calls) == 1 and calls[0].result is msgspec.Raw else None
    if bare is not None:
        return [_read(calls[0], bare)]
    try:
        is_list = reply.body.lstrip()[:1] == b"["
        envelopes = _ENVELOPES.decode(reply.body) if is_list else [_ENVELOPE.decode(reply.body)]
    except _UNREADABLE:
        return [_not_json_rpc(reply, len(calls))] * len(calls)
    by_id = {_position(e.id): e for e in envelopes}
    if not is_list and (by_id.keys() == {None} or len(calls) > 1 or reply.status >= 400):
        return [_refused_whole(reply, envelopes[0], calls)] * len(calls)
    if len(by_id) < len(envelopes):
        return [Refusal(Kind.MALFORMED, "an id came twice in one batch")] * len(calls)
    return [_answer(by_id.get(i), call, reply) for i, call in enumerate(calls)]


_ID = re.compile(rb'"?([0-9]{1,9})"?')


def _position(identity: msgspec.Raw) -> int | None:
    """Ids come back as sent; some proxies turn numbers into text. None for what is no id of ours."""
    found = _ID.fullmatch(bytes(identity))
    return int(found[1]) if found else None


def _answer(envelope: _Envelope | None, call: RpcCall, reply: Reply) -> Any | Refusal:
    if envelope is None:
        return Refusal(Kind.MALFORMED, f"no answer to {call.method} in the batch")
    if envelope.has_error:
        return _refusal(_error(envelope.error), reply, call.blocks)
    raw = memoryview(envelope.result)
    if not raw.nbytes:
        return Refusal(Kind.MALFORMED, f"neither result nor error for {call.method}")
    return _read(call, raw)


def _read(call: RpcCall, raw: bytes | memoryview) -> Any | Refusal:
    try:
        result = raw if call.result is msgspec.Raw else decoder(call.result).decode(raw)
        return result if call.read is None else call.read(result)
    except _UNREADABLE as error:
        return Refusal(Kind.MALFORMED, redact(f"result of {call.method}: {error}")[:_EXCERPT])


def bare_result(reply: Reply) -> bytes | None:
    """The result in a reply that starts as nodes start them, cut out unread; None otherwise. Megabytes of logs are
    then parsed once, by whoever reads them, and not a first time to find where the result ends.
    """
    start = _BARE.match(reply.body) if reply.status < 400 else None
    end = reply.body.rfind(b"}", -3) if start else -1  # some nodes end with a line feed
    return reply.body[start.end() : end] if start and end > 0 else None


_BARE = re.compile(rb'\{(?:"jsonrpc":"2\.0","id":0|"id":0,"jsonrpc":"2\.0"),"result":(?=\[)')


def _refusal(error: _Error, reply: Reply, blocks: int | None) -> Refusal:
    refusal = classify(error.message, error.code, reply.status, error.data, blocks)
    return replace(refusal, retry_after=reply.retry_after)


def _error(raw: msgspec.Raw) -> _Error:
    """What an error member says, in whatever form."""
    try:
        told = msgspec.json.decode(raw)
    except _UNREADABLE:
        return _Error(f"an error that cannot be read: {bytes(raw)[:80]!r}")
    if not isinstance(told, dict):
        return _Error(told if isinstance(told, str) else excerpt(told))
    message, code, data = (told.get(key) for key in ("message", "code", "data"))
    text = message if isinstance(message, str) else "" if message is None else _encode(message).decode()
    return _Error(text, _code(code), "" if data is None else data if isinstance(data, str) else _encode(data).decode())


_CODE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def _code(told: Any) -> int | None:
    """A number, also where it comes as text."""
    text = str(told) if isinstance(told, int | str) and not isinstance(told, bool) else ""
    return int(text) if _CODE.fullmatch(text) else None


def _refused_whole(reply: Reply, envelope: _Envelope, calls: Sequence[RpcCall]) -> Refusal:
    """One object for the whole request: an error that concerns all of it, or nonsense."""
    if not envelope.has_error and reply.status < 400:
        return Refusal(Kind.MALFORMED, "one answer for several calls, or an answer without its id")
    error = _error(envelope.error) if envelope.has_error else _Error(message=f"HTTP {reply.status}")
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
        seconds = float(header)
        return max(0.0, seconds) if seconds == seconds else None
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
