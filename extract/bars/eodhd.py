"""EODHD intraday: `GET /intraday/{SYMBOL}.US?api_token&interval&from&to&fmt=json`, unix seconds UTC, all hours.

The answer is a list of timestamp, gmtoffset, datetime, open, high, low, close, volume; open-labelled. It names no
symbol. A call may span 120 days of one-minute and 600 of five-minute bars. The token travels in the query.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from extract.bars import symbols as names
from extract.bars.actions import Action, decode_eodhd_dividends, decode_eodhd_splits
from extract.bars.http import JsonClient, number, price
from extract.bars.provider import SECONDS, Answer, Bar, MalformedAnswer

INTERVALS = {"M1": "1m", "M5": "5m"}
DAYS_PER_CALL = {"M1": 120, "M5": 600}
DAY = 86_400
PRICES = ("open", "high", "low", "close")


class Eodhd:
    """One account at EODHD."""

    def __init__(self, name: str, feed: str, client: JsonClient, token: str, exchange: str = "US") -> None:
        self.name, self.feed = name, feed
        self._client, self._token, self._exchange = client, token, exchange

    @property
    def clock(self) -> tuple[float, float] | None:
        """The provider's time and the machine's at its newest answer."""
        return self._client.clock

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        before = (self._client.calls, self._client.bytes)
        found = {symbol: await self._one(symbol, timeframe, first, last) for symbol in symbols}
        return Answer(found, self._client.calls - before[0], self._client.bytes - before[1])

    async def _one(self, symbol: str, timeframe: str, first: int, last: int) -> list[Bar]:
        span, bars = DAYS_PER_CALL[timeframe] * DAY, list[Bar]()
        for start in range(first, last + 1, span):
            stop = min(start + span - SECONDS["M1"], last)
            params = {
                "api_token": self._token,
                "interval": INTERVALS[timeframe],
                "from": str(start),
                "to": str(stop),
                "fmt": "json",
            }
            ticker = names.eodhd(symbol, self._exchange)
            answer = await self._client.get(f"/intraday/{ticker}", params, f"{symbol} {timeframe}")
            bars += [bar for bar in decode_eodhd(answer, symbol, self.name) if start <= bar.ts <= stop]
        return bars

    async def actions(self, symbols: Sequence[str], first: date, last: date) -> list[Action]:
        """Splits and dividends, symbol by symbol."""
        found = list[Action]()
        params = {"api_token": self._token, "from": first.isoformat(), "to": last.isoformat(), "fmt": "json"}
        for symbol in symbols:
            ticker = names.eodhd(symbol, self._exchange)
            for path, decode in (("splits", decode_eodhd_splits), ("div", decode_eodhd_dividends)):
                answer = await self._client.get(f"/{path}/{ticker}", params, f"{path} of {symbol}")
                found += decode(answer, symbol, self.name)
        return sorted((a for a in found if first <= a.ex_date <= last), key=lambda a: (a.ex_date, a.raw_kind))

    def share(self, among: int) -> None:
        self._client.share(among)

    async def close(self) -> None:
        await self._client.close()


def decode_eodhd(answer: Any, symbol: str, provider: str) -> list[Bar]:
    """Bars of an intraday answer in its order; MalformedAnswer names the row that is none."""
    if not isinstance(answer, list):
        raise MalformedAnswer(f"bar provider {provider} answered for {symbol} without a list of bars")
    return [_bar(row, symbol, f"bar provider {provider}, {symbol}, row {i}") for i, row in enumerate(answer)]


def _bar(row: Any, symbol: str, where: str) -> Bar:
    ts = row.get("timestamp") if isinstance(row, dict) else None
    if isinstance(ts, bool) or not isinstance(ts, int):
        raise MalformedAnswer(f"{where}: no whole `timestamp`")
    if row.get("gmtoffset"):
        raise MalformedAnswer(f"{where}: gmtoffset is {row['gmtoffset']!r}, but intraday bars are in UTC")
    open_, high, low, close = (price(row.get(name), f"{where} {name}") for name in PRICES)
    volume = number(row.get("volume"), f"{where} volume")
    return Bar(symbol, ts, open_, high, low, close, volume, raw_time=str(row.get("datetime") or ts))
