"""JSON over HTTP GET from one source: its pace, retries with backoff, Retry-After, and its own clock.

What another try may cure is tried again: no answer, 408, 425, 429, 5xx, a body that breaks off or is no JSON.
Every other status is the answer's own (`WebStatus`), and raised at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import aiohttp
import msgspec

from extract.errors import ForeshoreError
from extract.evm.pace import Clock, Pace, Slots, share_of
from extract.evm.redact import redact
from extract.evm.transport import retry_after
from extract.evm.waits import Waits
from extract.json_text import parse_json
from extract.ledger import now

Query: TypeAlias = Mapping[str, str | Sequence[str]]
_PASSING_TROUBLE = frozenset({408, 425, 429})
_LONGEST_REST_SECONDS = 60.0  # a server that asks for more is believed once, in words: the run can be started again
_EXCERPT = 120


class WebError(ForeshoreError):
    """A source did not answer usably after every try; `reason` is what the last one said."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class WebStatus(WebError):
    """A source refused a request for a reason that another try does not cure."""

    def __init__(self, message: str, status: int, reason: str = "") -> None:
        super().__init__(message, reason)
        self.status = status


@dataclass(frozen=True)
class WebLimits:
    """How a source may be asked: requests per second, requests at once, seconds per try, tries."""

    requests_per_second: float | None
    max_in_flight: int = 8
    timeout_seconds: float = 30.0
    tries: int = 8


@dataclass(frozen=True)
class WebAnswer:
    """A decoded answer, its bytes, and when it was made: by the source's clock and by ours."""

    value: Any
    body: bytes
    observed_at: datetime
    fetched_at: datetime


@dataclass
class WebSource:
    """One base URL. `requests`, `bytes_received` and `retries` count what it was asked."""

    name: str
    url: str
    limits: WebLimits
    session: aiohttp.ClientSession
    clock: Clock = field(default_factory=Clock)
    requests: int = 0
    bytes_received: int = 0
    retries: int = 0

    def __post_init__(self) -> None:
        self._pace = Pace(self.limits.requests_per_second, Waits(self.name, self.clock))
        self._slots = Slots(self.limits.max_in_flight)

    def share(self, among: int) -> None:
        """Ask as one of `among` processes that share the source's limits."""
        self._pace.share(share_of(self.limits.requests_per_second, among))
        self._slots.share(max(1, self.limits.max_in_flight // among))

    async def get(self, path: str, query: Query, wrong: Callable[[Any], str | None]) -> WebAnswer:
        """The answer to one GET. `wrong` says what is wrong with a decoded answer's shape; that is tried again too.

        Errors: WebStatus (another try would not help), WebError (tries used up).
        """
        trouble, attempt = _Trouble("nothing was tried"), 0
        for attempt in range(self.limits.tries):
            if attempt:
                self.retries += 1
                await self.clock.sleep(max(self.clock.jitter(attempt), trouble.rest_seconds))
            found = await self._try(path, query, wrong)
            if isinstance(found, WebAnswer):
                return found
            trouble = found
            if trouble.is_rate:
                self._pace.refused(trouble.rest_seconds or None)
            if trouble.rest_seconds > _LONGEST_REST_SECONDS:
                break
        raise WebError(
            f"{self.name} did not answer {path[:_EXCERPT]} in {attempt + 1} tries ({trouble.reason}): "
            "run the same command again later",
            trouble.reason,
        )

    async def _try(self, path: str, query: Query, wrong: Callable[[Any], str | None]) -> WebAnswer | _Trouble:
        timeout = aiohttp.ClientTimeout(total=self.limits.timeout_seconds)
        async with self._slots:
            await self._pace.take(1)
            self.requests += 1
            try:
                async with self.session.get(f"{self.url}{path}", params=_pairs(query), timeout=timeout) as reply:
                    body = await reply.read()
            except TimeoutError:
                return _Trouble(f"no answer within {self.limits.timeout_seconds:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return _Trouble(redact(f"{type(error).__name__}: {error}"))
        self.bytes_received += len(body)
        found = self._read(path, reply, body)
        fault = wrong(found.value) if isinstance(found, WebAnswer) else None
        return _Trouble(fault) if fault else found

    def _read(self, path: str, reply: aiohttp.ClientResponse, body: bytes) -> WebAnswer | _Trouble:
        excerpt = redact(body[:_EXCERPT].decode(errors="replace"))
        if reply.status >= 500 or reply.status in _PASSING_TROUBLE:
            rest = retry_after(reply.headers.get("Retry-After")) or 0.0
            return _Trouble(f"HTTP {reply.status}", rest, reply.status == 429)
        if reply.status != 200:
            said = f"HTTP {reply.status} {excerpt!r}"
            raise WebStatus(f"{self.name} refused {path[:_EXCERPT]}: {said}", reply.status, said)
        try:
            value = _decoded(body)
        except (ValueError, RecursionError):
            return _Trouble(f"not JSON: {excerpt!r}")
        moment = now()
        return WebAnswer(value, body, server_time(reply.headers.get("Date")) or moment, moment)


def _decoded(body: bytes) -> Any:
    """The JSON value. Half a character or a NaN in one record makes strict readers refuse a page of a hundred: a body
    that msgspec does not take is read leniently, and whoever reads the record says what is wrong with it.

    Errors: ValueError (no JSON), RecursionError (nested too deep).
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return parse_json(body.decode("utf-8", errors="replace"))


@dataclass(frozen=True)
class _Trouble:
    """Why a try failed, and the seconds of rest that the source asks for."""

    reason: str
    rest_seconds: float = 0.0
    is_rate: bool = False


def server_time(header: str | None) -> datetime | None:
    """The moment of a `Date` header in UTC, None without a readable one."""
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except (TypeError, ValueError):
        return None


def _pairs(query: Query) -> list[tuple[str, str]]:
    """A repeated parameter is repeated, not joined."""
    return [
        (name, value) for name, values in query.items() for value in ([values] if isinstance(values, str) else values)
    ]
