"""Ask Gamma for markets, page by page or by id, and the CLOB for books and price history. No rows are made here.

Pages follow one another by keyset: `next_cursor` of a page goes out as `after_cursor` with the same filters again.
The end is a page without a cursor and nothing else: a page may be short, or empty, in the middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import aiohttp

from extract.evm.pace import Clock
from extract.markets import research
from extract.markets.config import LONGEST_HISTORY_DAYS, Polymarket
from extract.web import WebAnswer, WebError, WebSource, WebStatus

KEYSET = "/markets/keyset"
_NOT_FOUND = frozenset({404, 422})
_PROBES = 3  # single ids asked before a list that failed is taken for a source that is down
Filters: TypeAlias = Mapping[str, str | Sequence[str]]


class PagingError(WebError):
    """Pages that do not come to an end: a cursor came twice, or there are more than the configured number."""


@dataclass(frozen=True)
class Page:
    """One page as it came; `query` is what was asked, cursor included."""

    number: int
    endpoint: str
    query: Mapping[str, Any]
    records: list[Any]
    next_cursor: str | None
    answer: WebAnswer


@dataclass
class ById:
    """Answers by id, and the ids whose own address failed; an id in neither is not known to the source."""

    found: dict[str, tuple[WebAnswer, Any]] = field(default_factory=dict)
    failed: dict[str, WebError] = field(default_factory=dict)


@dataclass(frozen=True)
class PolymarketClient:
    """The two services of the source, and the news beside them."""

    gamma: WebSource
    clob: WebSource
    news: WebSource
    config: Polymarket

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Polymarket, clock: Clock | None = None) -> AsyncIterator[PolymarketClient]:
        clock = clock or Clock()
        async with aiohttp.ClientSession() as session:
            yield cls(
                WebSource("Gamma", config.gamma_url.rstrip("/"), config.gamma_limits, session, clock),
                WebSource("CLOB", config.clob_url.rstrip("/"), config.clob_limits, session, clock),
                WebSource("GDELT", config.news_url.rstrip("/"), config.news_limits, session, clock),
                config,
            )

    @property
    def requests(self) -> int:
        return self.gamma.requests + self.clob.requests + self.news.requests

    @property
    def bytes_received(self) -> int:
        return self.gamma.bytes_received + self.clob.bytes_received + self.news.bytes_received

    async def pages(self, filters: Filters, page_size: int | None = None) -> AsyncIterator[Page]:
        """Every page of a keyset list. Errors: PagingError, WebError; pages already given stay true."""
        query: dict[str, str | Sequence[str]] = {**filters, "limit": str(page_size or self.config.page_size)}
        seen: set[str] = set()
        for number in range(1, self.config.max_pages + 1):
            answer = await self.gamma.get(KEYSET, query, _not_a_page)
            cursor = answer.value.get("next_cursor") or None
            yield Page(number, KEYSET, dict(query), answer.value["markets"], cursor, answer)
            if cursor is None:
                return
            if cursor in seen:
                raise PagingError(
                    f"Gamma's cursor does not advance: {cursor[:60]!r} came twice, on page {number} again. "
                    "What came so far is incomplete; run the same command again later"
                )
            seen.add(cursor)
            query["after_cursor"] = cursor
        raise PagingError(f"Gamma gave {self.config.max_pages} pages and no end: raise [polymarket] max_pages")

    async def has_open_markets(self) -> bool:
        """Whether the list has anything open at all, whatever its day."""
        answer = await self.gamma.get(KEYSET, {"closed": "false", "limit": "1"}, _not_a_page)
        return bool(answer.value["markets"])

    async def markets_by_id(self, ids: Sequence[str]) -> ById:
        """The markets `ids`: lists of closed ones, then of open ones (a list holds one kind only), then one by one what
        no list gave. A list that fails costs nothing but its request, an id that fails costs itself.

        Errors: the list's, when the first single ones fail like it: the source is down.
        """
        made, trouble = ById(), None
        missing = set(ids)
        for closed in ("true", "false"):
            try:
                async for name, answer, record in self._listed(sorted(missing, key=_by_number), closed):
                    if name in missing:
                        missing.discard(name)
                        made.found[name] = (answer, record)
            except WebError as error:
                trouble = error
                break  # the list is of no use; each market still has its own address
        alone = sorted(missing, key=_by_number)
        probes, rest = (alone[:_PROBES], alone[_PROBES:]) if trouble else ([], alone)
        await self._one_by_one(probes, made)
        if trouble is not None and probes and len(made.failed) == len(probes) and not made.found:
            raise trouble
        await self._one_by_one(rest, made)
        return made

    async def _one_by_one(self, ids: Sequence[str], made: ById) -> None:
        async def ask(name: str) -> None:
            try:
                answer = await self.market(name)
            except WebError as error:
                made.failed[name] = error
                return
            if answer is not None:
                made.found[name] = (answer, answer.value)

        await asyncio.gather(*(ask(name) for name in ids))

    async def _listed(self, ids: Sequence[str], closed: str) -> AsyncIterator[tuple[str, WebAnswer, Any]]:
        wanted = set(ids)
        if not wanted:
            return
        async for page in self.pages({"id": list(ids), "closed": closed}):
            names = [str(record.get("id")) if isinstance(record, Mapping) else "" for record in page.records]
            if names and not wanted & set(names):
                raise PagingError("the list does not heed `id`")
            for name, record in zip(names, page.records, strict=True):
                yield name, page.answer, record

    async def market(self, market_id: str) -> WebAnswer | None:
        """One market, whatever its state; None when the source does not know it."""
        return await self._or_none(self.gamma, f"/markets/{market_id}", lambda found: str(found.get("id")) == market_id)

    async def clob_market(self, condition_id: str) -> WebAnswer | None:
        """The CLOB's own record of a market, with `tokens[].winner`; None when it does not know the condition."""
        return await self._or_none(self.clob, f"/markets/{condition_id}", lambda found: "tokens" in found)

    async def _or_none(self, source: WebSource, path: str, is_it: Callable[[Any], bool]) -> WebAnswer | None:
        try:
            found = await source.get(path, {}, _not_an_object)
        except WebStatus as refusal:
            if refusal.status in _NOT_FOUND:
                return None
            raise
        return found if is_it(found.value) else None

    async def price_history(self, token_id: str, since: datetime, until: datetime, minutes: int) -> list[WebAnswer]:
        """Answers with `history` for windows that the CLOB takes, oldest first (an empty one is also its refusal)."""
        windows = history_windows(since, until)
        return list(await asyncio.gather(*(self._history(token_id, *window, minutes) for window in windows)))

    async def _history(self, token_id: str, since: datetime, until: datetime, minutes: int) -> WebAnswer:
        query = {"market": token_id, "startTs": str(int(since.timestamp())), "endTs": str(int(until.timestamp()))}
        return await self.clob.get("/prices-history", {**query, "fidelity": str(minutes)}, _not_a_history)

    async def book(self, token_id: str) -> WebAnswer | None:
        """The order book of a token; None when the CLOB has none."""
        try:
            return await self.clob.get("/book", {"token_id": token_id}, _not_a_book)
        except WebStatus as refusal:
            if refusal.status == 404:
                return None
            raise

    async def articles(self, query: Mapping[str, str]) -> WebAnswer:
        """Articles of GDELT that answer a query."""
        return await self.news.get(research.PATH, query, research.not_articles)


def history_windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """[since, until] in parts of at most 15 days, the longest that the CLOB answers."""
    found, step = [], timedelta(days=LONGEST_HISTORY_DAYS)
    while since < until:
        found.append((since, min(since + step, until)))
        since += step
    return found


def batches(ids: Iterable[str], size: int) -> list[list[str]]:
    """The same ids in the same batches, whatever their order."""
    ordered = sorted(set(ids), key=_by_number)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name


def _not_a_page(value: Any) -> str | None:
    if not isinstance(value, dict) or not isinstance(value.get("markets"), list):
        return "an answer without `markets`"
    cursor = value.get("next_cursor")
    return None if cursor is None or isinstance(cursor, str) else f"next_cursor is {cursor!r}, not text"


def _not_an_object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "an answer that is no object"


def _not_a_history(value: Any) -> str | None:
    is_history = isinstance(value, dict) and isinstance(value.get("history"), list)
    return None if is_history else "an answer without `history`"


def _not_a_book(value: Any) -> str | None:
    is_book = isinstance(value, dict) and isinstance(value.get("bids"), list) and isinstance(value.get("asks"), list)
    return None if is_book else "an answer without `bids` and `asks`"
