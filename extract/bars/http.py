"""One bar provider over HTTP: the shared JSON source, with refusals in the words of bars, never its URL or key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import aiohttp

from extract.bars.provider import BarProviderError, MalformedAnswer, ProviderDown, ProviderRefused, UnknownSymbol
from extract.evm.pace import Clock
from extract.web import WebError, WebLimits, WebSource, WebStatus

TRIES = 4
PLACES = 6  # of a dollar that a price may have
MOST = 2**53  # a count beyond it is no whole number of a float any more
CLOCK = Clock()  # of waits between tries; tests replace it


class JsonClient:
    """One provider's HTTP client; opens its session on first use, in the loop that uses it."""

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        max_in_flight: int = 4,
        requests_per_second: float = 0.0,
    ) -> None:
        self.name, self._url, self._headers = name, url.rstrip("/"), dict(headers or {})
        self._limits = WebLimits(requests_per_second or None, max_in_flight, timeout_seconds, TRIES)
        self._among = 1
        self._session: aiohttp.ClientSession | None = None
        self._source: WebSource
        self.clock: tuple[float, float] | None = None  # its time and ours at the newest answer, unix seconds

    @property
    def calls(self) -> int:
        return 0 if self._session is None else self._source.requests

    @property
    def bytes(self) -> int:
        return 0 if self._session is None else self._source.bytes_received

    async def get(self, path: str, params: Mapping[str, str], about: str) -> Any:
        """The decoded JSON of `path`; `about` says in messages what was asked for."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
            self._source = WebSource(f"bar provider {self.name}", self._url, self._limits, self._session, CLOCK)
            self._source.share(self._among)
        try:
            answer = await self._source.get(path, params, lambda _: None)
            self.clock = answer.observed_at.timestamp(), answer.fetched_at.timestamp()
            return answer.value
        except WebStatus as error:
            raise self._refusal(error, about) from None
        except WebError as error:
            raise ProviderDown(
                f"bar provider {self.name} did not answer for {about} ({error.reason}, {TRIES} tries): "
                "run the same command again later"
            ) from None

    def share(self, among: int) -> None:
        """Ask as one of `among` processes that share the provider's limits."""
        self._among = among
        if self._session is not None:
            self._source.share(among)

    def _refusal(self, error: WebStatus, about: str) -> BarProviderError:
        """What a status that asking again does not change means here."""
        if error.status == 404:
            return UnknownSymbol(f"bar provider {self.name} knows nothing of {about} ({error.reason})")
        cure = ": check its key in the environment and what its plan covers" if error.status in (401, 403) else ""
        return ProviderRefused(f"bar provider {self.name} refused {about} ({error.reason}){cure}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def number(value: Any, where: str) -> float | None:
    """A volume or mean price out of an answer; None for null. Text that is a number counts."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise MalformedAnswer(f"{where} is {value!r}: not a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise MalformedAnswer(f"{where} is {value!r}: not a number") from None


def price(value: Any, where: str) -> float | None:
    """A price: at most six places, as it was quoted before floats added to it (12.340000000000001 is 12.34)."""
    found = number(value, where)
    return found if found is None or not math.isfinite(found) else round(found, PLACES)


def count(value: Any, where: str) -> int | None:
    """A whole number of 0 or more."""
    found = number(value, where)
    if found is None:
        return None
    if not 0 <= found < MOST or found % 1:
        raise MalformedAnswer(f"{where} is {value!r}: not a count")
    return int(found)
