"""Alpaca market data over REST: `GET /v2/stocks/bars?symbols&timeframe&start&end&feed&page_token`, complete bars only.

The answer is `{"bars": {"SYM": [{t, o, h, l, c, v, n, vw}, ...]}, "next_page_token": ...}`; t is the open in UTC. The
free plan serves the IEX feed only: another series than the consolidated tape, which is why a provider has a feed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from extract.bars import symbols as names
from extract.bars.actions import Action, decode_alpaca_actions
from extract.bars.http import JsonClient, count, number, price
from extract.bars.provider import Answer, Bar, MalformedAnswer, iso

TIMEFRAMES = {"M1": "1Min", "M5": "5Min"}
SYMBOLS_PER_CALL = 100
ROWS_PER_PAGE = 10_000
ACTIONS_PER_PAGE = 1_000
PRICES = ("o", "h", "l", "c")
MOST_PAGES = 10_000  # a page token that never ends is a provider's fault, not an endless answer


class Alpaca:
    """One account at Alpaca."""

    def __init__(self, name: str, feed: str, client: JsonClient) -> None:
        self.name, self.feed, self._client = name, feed, client

    @property
    def clock(self) -> tuple[float, float] | None:
        """The provider's time and the machine's at its newest answer."""
        return self._client.clock

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        before, found = (self._client.calls, self._client.bytes), dict[str, list[Bar]]()
        for start in range(0, len(symbols), SYMBOLS_PER_CALL):
            found |= await self._page_through(symbols[start : start + SYMBOLS_PER_CALL], timeframe, first, last)
        return Answer(found, self._client.calls - before[0], self._client.bytes - before[1])

    async def _page_through(
        self, symbols: Sequence[str], timeframe: str, first: int, last: int
    ) -> dict[str, list[Bar]]:
        found: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
        about = f"{symbols[0]}{f' and {len(symbols) - 1} more' if len(symbols) > 1 else ''} {timeframe}"
        params = {
            "symbols": ",".join(names.alpaca(symbol) for symbol in symbols),
            "timeframe": TIMEFRAMES[timeframe],
            "start": iso(first),
            "end": iso(last),
            "feed": self.feed,
            "adjustment": "raw",
            "limit": str(ROWS_PER_PAGE),
        }
        seen: set[str] = set()
        while True:
            answer = await self._client.get("/v2/stocks/bars", params, about)
            for symbol, bars in decode_alpaca(answer, symbols, self.name).items():
                found[symbol] += [bar for bar in bars if first <= bar.ts <= last]
            token = answer.get("next_page_token")
            if not token:
                return found
            if token in seen or len(seen) >= MOST_PAGES:
                raise MalformedAnswer(f"bar provider {self.name} repeats a page of {about}: its paging does not end")
            seen.add(token)
            params["page_token"] = token

    async def actions(self, symbols: Sequence[str], first: date, last: date) -> list[Action]:
        """Splits, dividends and new names; a page may hold any number of them."""
        found, seen = list[Action](), set[str]()
        params = {
            "symbols": ",".join(names.alpaca(symbol) for symbol in symbols),
            "start": first.isoformat(),
            "end": last.isoformat(),
            "limit": str(ACTIONS_PER_PAGE),
        }
        while True:
            answer = await self._client.get("/v1/corporate-actions", params, f"corporate actions of {symbols[0]}")
            found += decode_alpaca_actions(answer, symbols, self.name)
            token = answer.get("next_page_token")
            if not token:
                return sorted((a for a in found if first <= a.ex_date <= last), key=lambda a: (a.ex_date, a.raw_kind))
            if token in seen or len(seen) >= MOST_PAGES:
                raise MalformedAnswer(f"bar provider {self.name} repeats a page of corporate actions")
            seen.add(token)
            params["page_token"] = token

    def share(self, among: int) -> None:
        self._client.share(among)

    async def close(self) -> None:
        await self._client.close()


def decode_alpaca(answer: Any, symbols: Sequence[str], provider: str) -> dict[str, list[Bar]]:
    """Bars by symbol of one page; MalformedAnswer where it is about a symbol that was not asked for."""
    if not isinstance(answer, dict) or not isinstance(answer.get("bars"), dict | None):
        raise MalformedAnswer(f"bar provider {provider} answered without `bars`")
    pages = answer.get("bars") or {}
    foreign = sorted(set(pages) - set(symbols))
    if foreign:
        raise MalformedAnswer(f"bar provider {provider} answered for {foreign[0]}, which was not asked for")
    if odd := [symbol for symbol, rows in pages.items() if not isinstance(rows, list | None)]:
        raise MalformedAnswer(f"bar provider {provider} answered for {odd[0]} without a list of bars")
    return {
        symbol: [bar_of(row, symbol, f"bar provider {provider}, {symbol}, row {i}") for i, row in enumerate(rows or [])]
        for symbol, rows in pages.items()
    }


def bar_of(row: Any, symbol: str, where: str) -> Bar:
    """One bar of Alpaca's shape, REST and socket alike."""
    if not isinstance(row, dict) or not isinstance(row.get("t"), str):
        raise MalformedAnswer(f"{where}: no time `t`")
    try:
        moment = datetime.fromisoformat(row["t"])
    except ValueError:
        raise MalformedAnswer(f"{where}: t is {row['t']!r}: not a time") from None
    if moment.tzinfo is None:
        raise MalformedAnswer(f"{where}: t is {row['t']!r}: it has no zone")
    open_, high, low, close = (price(row.get(key), f"{where} {key}") for key in PRICES)
    return Bar(
        symbol=symbol,
        ts=int(moment.timestamp()),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=number(row.get("v"), f"{where} v"),
        trade_count=count(row.get("n"), f"{where} n"),
        vwap=price(row.get("vw"), f"{where} vw"),
        raw_time=row["t"],
    )
