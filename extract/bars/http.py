"""GET and try again: what every bar provider over HTTP shares. Messages name the provider, never its URL or key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from extract.bars.provider import MalformedAnswer, ProviderDown, ProviderRefused, UnknownSymbol
from extract.evm.redact import redact

TRIES = 4
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 30.0
_TEXT_SHOWN = 160


class JsonClient:
    """One provider's HTTP client; opens its session on first use, in the loop that uses it."""

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        max_in_flight: int = 4,
    ) -> None:
        self.name, self._url, self._headers = name, url.rstrip("/"), dict(headers or {})
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._max_in_flight = max_in_flight
        self._session: aiohttp.ClientSession | None = None
        self._slots: asyncio.Semaphore
        self.calls = 0
        self.bytes = 0

    async def get(self, path: str, params: Mapping[str, str], about: str) -> Any:
        """The decoded JSON of `path`; `about` says in messages what was asked for."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
            self._slots = asyncio.Semaphore(self._max_in_flight)
        reason, wait = "", FIRST_WAIT_SECONDS
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(wait, LONGEST_WAIT_SECONDS))
                wait = FIRST_WAIT_SECONDS * 2**attempt
            try:
                async with self._slots, self._session.get(self._url + path, params=params) as reply:
                    body = await reply.read()
                    self.calls += 1
                    self.bytes += len(body)
                    if reply.status == 200:
                        return msgspec.json.decode(body)
                    self._refuse(reply.status, body, about)
                    reason = f"HTTP {reply.status}"
                    wait = _retry_after(reply.headers.get("Retry-After"), wait)
            except msgspec.DecodeError:
                reason = "an answer that is not JSON"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = redact(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__
        raise ProviderDown(
            f"bar provider {self.name} did not answer for {about} ({reason}, {TRIES} tries): "
            "run the same command again later"
        )

    def _refuse(self, status: int, body: bytes, about: str) -> None:
        """Raise for answers that asking again does not change."""
        said = redact(body[:_TEXT_SHOWN].decode("utf-8", "replace").strip())
        if status in (401, 403):
            raise ProviderRefused(
                f"bar provider {self.name} refused {about} (HTTP {status}: {said}): check its key in the environment "
                "and what its plan covers"
            )
        if status == 404:
            raise UnknownSymbol(f"bar provider {self.name} knows nothing of {about} (HTTP 404: {said})")
        if 400 <= status < 500 and status not in (408, 425, 429):
            raise ProviderRefused(f"bar provider {self.name} refused {about} (HTTP {status}: {said})")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _retry_after(text: str | None, otherwise: float) -> float:
    """Seconds of a Retry-After header; `otherwise` where it is absent or a date."""
    return float(text) if text and text.strip().isdigit() else otherwise


def number(value: Any, where: str) -> float | None:
    """A price or volume out of an answer; None for null. Text that is a number counts."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise MalformedAnswer(f"{where} is {value!r}: not a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise MalformedAnswer(f"{where} is {value!r}: not a number") from None
