"""Bar providers on loopback: EODHD's and Alpaca's shapes over HTTP, Alpaca's live bars over a websocket.

    GET /eodhd/intraday/{TICKER}      ?api_token&interval=1m|5m&from&to
    GET /alpaca/v2/stocks/bars        ?symbols&timeframe=1Min|5Min&start&end&limit&page_token, keys in the headers
    GET /alpaca/v1/corporate-actions, /eodhd/splits/{TICKER}, /eodhd/div/{TICKER}     what POST /_actions told of
    WS  /alpaca/stream/v2/{feed}      auth, subscribe bars and updatedBars, then [{"T": "b", ...}] minute by minute

`POST /_control` with `{"kind": ..., "channel", "symbol", "first", "last", "value", "count"}` switches a fault of
`faults.KINDS` on, `DELETE /_control` all of them off; `GET /_clock` and `POST /_clock {"now", "speed", "run"}`;
`GET /_stats` counts requests; `POST /_actions {"symbol", "kind": split|dividend, "ex_date", "old", "new", "cash"}`.
Answers are dated by the market's own clock. No answer holds a bar that has not closed on the market's own clock.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from aiohttp import WSMsgType, web

from simulate.bars.clock import BarClock
from simulate.bars.faults import BarFault, Faults
from simulate.bars.market import M5, MINUTE, Market, MinuteBar, roll

TOKEN, KEY, SECRET = "world-token-eodhd", "world-key-alpaca", "world-secret-alpaca"
INTERVALS = {"1m": MINUTE, "5m": M5, "1Min": MINUTE, "5Min": M5}
PAGE = 10_000
ACTIONS_PAGE = 100
MOST_DAYS = {MINUTE: 120, M5: 600}
CORRECTION_SECONDS = 30
DAY = 86_400


class BarServer:
    """Serves one market; all state is in memory."""

    def __init__(self, market: Market, clock: BarClock, until: float, feed: str = "sip") -> None:
        """`until`: when the last session that is played is over; the stream is silent from then on."""
        self.market, self.clock, self.until, self.feed = market, clock, until, feed
        self.faults = Faults()
        self.stats: Counter[str] = Counter()
        self._away_until = 0.0
        self.actions: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_get("/eodhd/intraday/{ticker}", self._eodhd)
        made.router.add_get("/alpaca/v2/stocks/bars", self._alpaca)
        made.router.add_get("/alpaca/v1/corporate-actions", self._alpaca_actions)
        made.router.add_get("/eodhd/{what:splits|div}/{ticker}", self._eodhd_actions)
        made.router.add_post("/_actions", self._add_action)
        made.router.add_get("/alpaca/stream/v2/{feed}", self._stream)
        made.on_response_prepare.append(self._date)
        made.router.add_post("/_control", self._add_fault)
        made.router.add_delete("/_control", self._clear_faults)
        made.router.add_get("/_clock", self._get_clock)
        made.router.add_post("/_clock", self._set_clock)
        made.router.add_get("/_stats", self._get_stats)
        return made

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.append(BarFault(**await request.json()))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"faults": len(self.faults)})

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(self.clock.now(), usegmt=True)

    async def _add_action(self, request: web.Request) -> web.Response:
        told = await request.json()
        if told.get("kind") not in ("split", "dividend") or not {"symbol", "ex_date"} <= told.keys():
            return web.json_response({"error": "needs symbol, kind (split or dividend) and ex_date"}, status=400)
        self.actions.append(told)
        return web.json_response({"actions": len(self.actions)})

    def _told(self, kind: str, symbols: list[str], first: str, last: str) -> list[dict[str, Any]]:
        return [
            a for a in self.actions if a["kind"] == kind and a["symbol"] in symbols and first <= a["ex_date"] <= last
        ]

    async def _alpaca_actions(self, request: web.Request) -> web.Response:
        query, headers = request.query, request.headers
        if (headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            return web.json_response({"message": "forbidden."}, status=403)
        asked = query["symbols"].split(","), query["start"], query["end"]
        groups: dict[str, list[dict[str, Any]]] = {}
        for split in self._told("split", *asked):
            group = "forward_splits" if split["new"] > split["old"] else "reverse_splits"
            rates = {"old_rate": split["old"], "new_rate": split["new"]}
            dates = {"ex_date": split["ex_date"], "process_date": split["ex_date"]}
            groups.setdefault(group, []).append({"symbol": split["symbol"], **rates, **dates})
        for paid in self._told("dividend", *asked):
            row = {"symbol": paid["symbol"], "rate": paid["cash"], "ex_date": paid["ex_date"], "special": False}
            groups.setdefault("cash_dividends", []).append(row)
        rows = [(group, row) for group, those in sorted(groups.items()) for row in those]
        first, limit = int(query.get("page_token", "0")), int(query.get("limit", ACTIONS_PAGE))
        page: dict[str, list[dict[str, Any]]] = {}
        for group, row in rows[first : first + limit]:
            page.setdefault(group, []).append(row)
        token = str(first + limit) if first + limit < len(rows) else None
        return web.json_response({"corporate_actions": page, "next_page_token": token})

    async def _eodhd_actions(self, request: web.Request) -> web.Response:
        if request.query.get("api_token") != TOKEN:
            return web.Response(status=401, text="Unauthenticated")
        asked = [_symbol(request)], request.query["from"], request.query["to"]
        if request.match_info["what"] == "splits":
            rows = [
                {"date": a["ex_date"], "split": f"{a['new']:.6f}/{a['old']:.6f}"} for a in self._told("split", *asked)
            ]
        else:
            rows = [{"date": a["ex_date"], "value": a["cash"]} for a in self._told("dividend", *asked)]
        return web.json_response(rows)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.faults.clear()
        return web.json_response({"faults": 0})

    async def _get_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats)

    async def _get_clock(self, _: web.Request) -> web.Response:
        told = {"now": self.clock.now(), "speed": self.clock.speed, "is_running": self.clock.is_running}
        return web.json_response(told)

    async def _set_clock(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self.clock.set(float(wanted.get("now", self.clock.now())), wanted.get("speed"))
        self.clock.is_running = bool(wanted.get("run", self.clock.is_running))
        return await self._get_clock(request)

    # -- over HTTP

    async def _eodhd(self, request: web.Request) -> web.Response:
        self.stats["eodhd"] += 1
        query, symbol = request.query, _symbol(request)
        if query.get("api_token") != TOKEN:
            return web.Response(status=401, text="Unauthenticated")
        if symbol not in self.market.symbols:
            return web.Response(status=404, text="Ticker Not Found.")
        step = INTERVALS.get(query.get("interval", ""), 0)
        first, last = int(query["from"]), int(query["to"])
        if not step or last - first > MOST_DAYS[step] * DAY:
            return web.json_response({"errors": {"period": ["the period is too long"]}}, status=422)
        rows = [
            {
                "timestamp": bar.ts,
                "gmtoffset": 0,
                "datetime": f"{datetime.fromtimestamp(bar.ts, UTC):%Y-%m-%d %H:%M:%S}",
                **_prices(bar),
            }
            for bar in self._bars(symbol, step, first, last)
        ]
        return await self._answer(symbol, rows)

    async def _alpaca(self, request: web.Request) -> web.Response:
        self.stats["alpaca"] += 1
        query, headers = request.query, request.headers
        if (headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            return web.json_response({"message": "forbidden."}, status=403)
        if query.get("feed", self.feed) != self.feed:
            return web.json_response({"message": "subscription does not permit querying this feed"}, status=403)
        step = INTERVALS.get(query.get("timeframe", ""), 0)
        if not step or not query.get("symbols"):
            return web.json_response({"message": "invalid timeframe or symbols"}, status=400)
        first, last = (_unix(query[name]) for name in ("start", "end"))
        rows = [
            (symbol, _alpaca_bar(bar))
            for symbol in sorted(query["symbols"].split(","))
            for bar in (self._bars(symbol, step, first, last) if symbol in self.market.symbols else [])
        ]
        start, limit = int(query.get("page_token") or 0), min(int(query.get("limit", 1_000)), PAGE)
        bars: dict[str, list[dict[str, Any]]] = {}
        for symbol, row in rows[start : start + limit]:
            bars.setdefault(self._said_symbol("rest", symbol), []).append(row)
        token = str(start + limit) if start + limit < len(rows) else None
        return await self._answer(None, {"bars": bars, "next_page_token": token})

    def _bars(self, symbol: str, step: int, first: int, last: int) -> list[MinuteBar]:
        """Closed bars of a symbol, as the faults of the moment leave them."""
        now = self.clock.now()
        found = roll(self.market.between(symbol, first, last + step - 1), step)
        kept = [bar for bar in found if first <= bar.ts <= last and bar.ts + step <= now]
        if self.faults.hit("empty", "rest", symbol):
            return []
        said: list[MinuteBar] = []
        for bar in kept:
            if self.faults.hit("missing", "rest", symbol, bar.ts):
                continue
            fault = self.faults.hit("revised", "rest", symbol, bar.ts)
            said.append(_bent(bar, fault) if fault else bar)
            if self.faults.hit("duplicate", "rest", symbol, bar.ts):
                said.append(bar)
        return said[::-1] if self.faults.hit("out_of_order", "rest", symbol) else said

    async def _answer(self, symbol: str | None, content: Any) -> web.Response:
        if fault := self.faults.hit("slow", "rest", symbol):
            await asyncio.sleep(float(fault.value or 1.0))
        if fault := self.faults.hit("down", "rest", symbol):
            return web.Response(status=int(fault.value or 503), text="service unavailable")
        text = json.dumps(content)
        if self.faults.hit("malformed", "rest", symbol):
            text = text[: len(text) // 2]
        return web.Response(text=text, content_type="application/json")

    def _said_symbol(self, channel: str, symbol: str) -> str:
        return "OTHER" if self.faults.hit("wrong_symbol", channel, symbol) else symbol

    # -- over the websocket

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.stats["stream"] += 1
        if self.clock.now() < self._away_until and self.clock.speed:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json([{"T": "success", "msg": "connected"}])
        symbols = await self._join(socket, request.match_info["feed"])
        if symbols:
            self.clock.start()
            self.clock.leap()
            pump = asyncio.create_task(self._pump(socket, symbols))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
            finally:
                pump.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await pump
        await socket.close()
        return socket

    async def _join(self, socket: web.WebSocketResponse, feed: str) -> tuple[str, ...]:
        """The symbols subscribed; empty when the join was refused."""
        said = await _received(socket)
        if said.get("action") != "auth" or (said.get("key"), said.get("secret")) != (KEY, SECRET):
            await socket.send_json([{"T": "error", "code": 402, "msg": "auth failed"}])
            return ()
        if feed != self.feed:
            await socket.send_json([{"T": "error", "code": 409, "msg": "insufficient subscription"}])
            return ()
        await socket.send_json([{"T": "success", "msg": "authenticated"}])
        said = await _received(socket)
        symbols = tuple(s for s in said.get("bars", []) if s in self.market.symbols)
        told = {"T": "subscription", "trades": [], "quotes": [], "bars": [*symbols], "updatedBars": [*symbols]}
        await socket.send_json([told])
        return symbols

    async def _pump(self, socket: web.WebSocketResponse, symbols: tuple[str, ...]) -> None:
        """Minute after minute from now on: what closes is sent, late things when their time comes."""
        waiting: list[tuple[float, int, dict[str, Any]]] = []
        order, minute = 0, int(self.clock.now()) // MINUTE * MINUTE
        while not socket.closed:
            if minute >= self.until and not waiting:
                await asyncio.sleep(0.05)
                continue
            if self.clock.leap():
                minute = int(self.clock.now()) // MINUTE * MINUTE
            close = minute + MINUTE
            await asyncio.sleep(self.clock.seconds_until(close))
            self.clock.reach(close)
            for symbol in symbols:
                for send_at, event in self._events(symbol, minute):
                    order += 1
                    heapq.heappush(waiting, (send_at, order, event))
            due = []
            while waiting and waiting[0][0] <= close:
                due.append(heapq.heappop(waiting)[2])
            if fault := self.faults.hit("disconnect", "stream", None, minute):
                self._away_until = close + MINUTE * float(2 if fault.value is None else fault.value)
                self.clock.reach(self._away_until)
                await socket.close()
                return
            if due:
                text = json.dumps(due)
                broken = self.faults.hit("malformed", "stream", None, minute)
                await socket.send_str(text[: len(text) // 2] if broken else text)
            minute += MINUTE

    def _events(self, symbol: str, minute: int) -> list[tuple[float, dict[str, Any]]]:
        """What is sent about a symbol's minute, and when: at its close, unless a fault says otherwise."""
        bar = self.market.at(symbol, minute)
        if bar is None or self.faults.hit("missing", "stream", symbol, minute):
            return []
        at = float(minute + MINUTE)
        if fault := self.faults.hit("late", "stream", symbol, minute):
            at += MINUTE * float(3 if fault.value is None else fault.value)
        if self.faults.hit("out_of_order", "stream", symbol, minute):
            at += MINUTE + 1
        name = self._said_symbol("stream", symbol)
        sent = [(at, {"T": "b", "S": name, **_alpaca_bar(bar)})]
        if fault := self.faults.hit("revised", "stream", symbol, minute):
            first = {"T": "b", "S": name, **_alpaca_bar(_bent(bar, fault))}
            sent = [(at, first), (at + CORRECTION_SECONDS, {"T": "u", "S": name, **_alpaca_bar(bar)})]
        if self.faults.hit("duplicate", "stream", symbol, minute):
            sent = [sent[0], *sent]
        return sent


async def _received(socket: web.WebSocketResponse) -> dict[str, Any]:
    message = await socket.receive(timeout=10)
    try:
        return dict(json.loads(message.data)) if message.type is WSMsgType.TEXT else {}
    except (ValueError, TypeError):
        return {}


def _prices(bar: MinuteBar) -> dict[str, Any]:
    return {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.volume}


def _alpaca_bar(bar: MinuteBar) -> dict[str, Any]:
    return {
        "t": f"{datetime.fromtimestamp(bar.ts, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "n": bar.trades,
        "vw": bar.vwap,
    }


def _bent(bar: MinuteBar, fault: BarFault) -> MinuteBar:
    """A plausible bar with another high, low and close."""
    share = float(0.002 if fault.value is None else fault.value)
    return replace(
        bar,
        high=round(bar.high * (1 + share), 2),
        low=round(bar.low * (1 - share), 2),
        close=round(min(max(bar.close * (1 + share / 2), bar.low), bar.high), 2),
    )


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _symbol(request: web.Request) -> str:
    """The market's name of a ticker in EODHD's spelling: `BRK-B.US` is BRK.B."""
    return request.match_info["ticker"].split(".")[0].upper().replace("-", ".")
