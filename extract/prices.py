"""Configured price sources, asked where no feed on the chain answers: historical prices over HTTP.

The protocol is DefiLlama's coins API: `GET /prices/historical/{unix seconds}/{chain}:{address},...` answers
`{"coins": {"chain:address": {"price", "timestamp", "confidence"}}}` with the price nearest in time, on either
side. A price from after the moment asked about was not observable then, so it is refused here. `confidence` is the
source's own, from 0 to 1; a price whose source trusts it less than `price_min_confidence` is no price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from extract.errors import ConfigError, ForeshoreError
from extract.evm.pace import Clock
from extract.evm.redact import LOOPBACK, remember
from extract.web import WebError, WebLimits, WebSource

TOKENS_PER_REQUEST = 50
TRIES = 4
LEAST_CONFIDENCE = "price_min_confidence"  # threshold: what a source must trust its own price at least
CLOCK = Clock()


class PriceSourceError(ForeshoreError):
    """A price source did not answer; what depends on it is fetched again on the next run."""


@dataclass(frozen=True)
class Quote:
    """A price in USD per whole token, the second it was made (UTC), and who made it."""

    price_usd: float
    updated_at: int
    source: str
    confidence: float | None = None  # the source's own, 0 to 1, where it says so


@dataclass(frozen=True)
class HttpPrices:
    """One historical price API. `chain_key` is the API's own name of the chain."""

    name: str
    url: str
    chain_key: str
    least_confidence: float = 0.0
    search_width: str = "4h"
    timeout_seconds: float = 20.0

    async def quotes(self, session: aiohttp.ClientSession, tokens: Sequence[str], moment: int) -> dict[str, Quote]:
        """Quotes known at `moment` (unix seconds) by token; tokens without one are left out."""
        found: dict[str, Quote] = {}
        for start in range(0, len(tokens), TOKENS_PER_REQUEST):
            part = tokens[start : start + TOKENS_PER_REQUEST]
            names = ",".join(f"{self.chain_key}:{token}" for token in part)
            answer = await self._get(session, f"/prices/historical/{moment}/{names}")
            found |= decode_quotes(answer, self.name, moment, self.least_confidence)
        return found

    async def _get(self, session: aiohttp.ClientSession, path: str) -> Mapping[str, Any]:
        limits = WebLimits(None, timeout_seconds=self.timeout_seconds, tries=TRIES)
        source = WebSource(f"price source {self.name}", self.url, limits, session, CLOCK)
        try:
            return dict((await source.get(path, {"searchWidth": self.search_width}, _not_coins)).value)
        except WebError as error:
            raise PriceSourceError(str(error)) from None


def _not_coins(body: Any) -> str | None:
    is_coins = isinstance(body, dict) and isinstance(body.get("coins"), dict)
    return None if is_coins else "an answer without `coins`"


def decode_quotes(
    answer: Mapping[str, Any], source: str, moment: int, least_confidence: float = 0.0
) -> dict[str, Quote]:
    """Quotes by token address out of an answer; odd, doubted and later prices (than `moment`) are left out."""
    found = {}
    for name, coin in answer["coins"].items():
        price, made, trust = (_number(coin, key) for key in ("price", "timestamp", "confidence"))
        if price is None or made is None or ":" not in name:
            continue
        if price > 0 and made <= moment and (trust is None or trust >= least_confidence):
            found[name.split(":", 1)[1].lower()] = Quote(price, int(made), source, trust)
    return found


def _number(coin: Any, key: str) -> float | None:
    """A finite number of an entry; None where there is none."""
    value = coin.get(key) if isinstance(coin, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True)
class Answers:
    """What sources answered: the first quote per token in their order, and those that did not answer, with why."""

    quotes: dict[str, Quote]
    failed: dict[str, str]


async def ask_each(sources: Sequence[HttpPrices], tokens: Iterable[str], moment: int) -> Answers:
    """Quotes known at `moment` (unix seconds); a source that is down is named, and the next one asked all the same."""
    missing, answers = sorted(set(tokens)), Answers({}, {})
    async with aiohttp.ClientSession() as session:
        for source in sources:
            if missing:
                try:
                    answers.quotes.update(await source.quotes(session, missing, moment))
                except PriceSourceError as error:
                    answers.failed[source.name] = str(error)
                missing = [token for token in missing if token not in answers.quotes]
    return answers


async def ask_sources(sources: Sequence[HttpPrices], tokens: Iterable[str], moment: int) -> dict[str, Quote]:
    """The first quote per token in the order of the sources. Errors: PriceSourceError when one of them is down."""
    answers = await ask_each(sources, tokens, moment)
    if answers.failed:
        raise PriceSourceError("; ".join(answers.failed.values()))
    return answers.quotes


def load_price_sources(
    chain: str, tables: Any, environ: Mapping[str, str], least_confidence: float = 0.0
) -> tuple[HttpPrices, ...]:
    """`[[chains.NAME.price_sources]]`: name, chain_key, and `url_env` (or `url` where the API needs no key)."""
    found = []
    for table in tables or []:
        where = f"[[chains.{chain}.price_sources]]"
        for key in ("name", "chain_key"):
            if not isinstance(table.get(key), str):
                raise ConfigError(f"{where} lacks {key}: add `{key} = ...`")
        variable = table.get("url_env")
        url = environ.get(variable, "") if variable else table.get("url", "")
        if not url:
            continue  # a source whose variable is unset is simply not used; prices then stay missing, with a status
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"{where} {table['name']}: not an http(s) URL")
        if variable or urlsplit(url).hostname not in LOOPBACK:
            remember(url)
        found.append(HttpPrices(table["name"], url.rstrip("/"), table["chain_key"], least_confidence))
    return tuple(found)
