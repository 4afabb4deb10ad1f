"""The markets' server on loopback: Gamma's and the CLOB's endpoints at a moment that it is told.

`GET /markets/keyset`, `/events/keyset`, `/markets/{id}`, `/markets`, `/prices-history`, `/book` and `/midpoint` answer
as at the server's clock, which is also the `Date` of every answer. `POST /_clock {"now": ISO time}` sets it and
`GET /_clock` reads it. `POST /_control {"kind": ..., "value": ..., "path": ..., "count": ..., "skip": ...}` switches a
fault of `faults.py` on, `DELETE /_control` all off; `GET /_stats` counts requests; `GET /_truth` tells all ends.
`POST /_records {"<id>": {field: value}}` writes fields of a record anew (`{"absent": true}` takes one away), for a
condition's hex in place of the id those of the CLOB's record; `DELETE /_control` undoes that too.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from simulate.markets.faults import Fault
from simulate.markets.records import article, book, clob_record, event_record, gamma_record, history, price
from simulate.markets.world import Market, MarketWorld, Size

PAGE_CAP = 100  # a list never has more, whatever `limit` asks for
LONGEST_OFFSET = 2_000
LONGEST_HISTORY_SECONDS = 15 * 86_400
RUN_TIME = time(7, 17)
FOLDER = click.Path(file_okay=False, path_type=Path)
Handler = Callable[[web.Request], Any]


class Server:
    """A world at a moment, with faults; all state is in memory."""

    def __init__(self, world: MarketWorld, page_cap: int = PAGE_CAP) -> None:
        self.world, self.page_cap = world, page_cap
        self.now = datetime.combine(world.size.start, RUN_TIME, UTC)
        self.faults: list[Fault] = []
        self.amendments: dict[str, dict[str, Any]] = {}
        self.stats: Counter[str] = Counter()

    def app(self) -> web.Application:
        made = web.Application(middlewares=[self._around])
        routes: dict[str, Handler] = {
            "/markets/keyset": self._markets_page,
            "/events/keyset": self._events_page,
            "/markets/{id}": self._market,
            "/markets": self._markets,
            "/prices-history": self._history,
            "/book": self._book,
            "/midpoint": self._midpoint,
            "/api/v2/doc/doc": self._articles,
            "/_truth": self._truth,
            "/_clock": self._clock,
            "/_stats": self._count,
        }
        for path, handler in routes.items():
            made.router.add_get(path, handler)
        made.router.add_post("/_clock", self._set_clock)
        made.router.add_post("/_control", self._add_fault)
        made.router.add_delete("/_control", self._clear_faults)
        made.router.add_post("/_records", self._amend)
        return made

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count, bend, and stamp with the server's own time."""
        if request.path.startswith("/_"):
            return await handler(request)  # type: ignore[no-any-return]
        self.stats[f"/{request.path.split('/')[1]}"] += 1
        struck = {fault.kind: fault for fault in self.faults if fault.strikes(request.path)}
        request["faults"] = struck
        if "slow" in struck:
            await asyncio.sleep(float(struck["slow"].value))
        made = _instead(struck) or await handler(request)
        made.headers["Date"] = format_datetime(self.now, usegmt=True)
        return await _broken_off(request, made) if "drop" in struck else made

    # lists

    async def _markets_page(self, request: web.Request) -> web.Response:
        found = list(self._selected(request))
        return self._page(request, "markets", found, self._gamma, lambda m: int(m.market_id))

    async def _events_page(self, request: web.Request) -> web.Response:
        grouped: dict[int, list[Market]] = {}
        for market in self._selected(request):
            grouped.setdefault(market.event.number, []).append(market)

        def record(group: list[Market]) -> dict[str, Any]:
            inside = [{k: v for k, v in self._gamma(m).items() if k != "events"} for m in group]
            return event_record(group[0].event) | {"markets": inside}

        return self._page(request, "events", list(grouped.values()), record, lambda group: group[0].event.number)

    def _selected(self, request: web.Request) -> Iterable[Market]:
        """Markets that a list's filters leave, in order of their ids; only open ones unless told otherwise."""
        query, heeds = request.query, "ignore_filters" not in request["faults"]
        closed = query.get("closed", "false") == "true"
        since, until = (_moment(query.get(name)) if heeds else None for name in ("end_date_min", "end_date_max"))
        ids = query.getall("id", []) if heeds else []
        if ids:
            known = (self.world.by_id(name) for name in sorted(set(ids), key=lambda name: (len(name), name)))
            found: Iterable[Market] = [market for market in known if market]
        else:
            found = self.world.markets(since, until)
        least = float(query.get("liquidity_num_min", 0))
        for market in found:
            if market.is_listed(self.now) and market.is_closed(self.now) == closed and market.liquidity >= least:
                yield market

    def _page(
        self, request: web.Request, name: str, found: list[Any], record: Callable[[Any], Any], key: Callable[[Any], int]
    ) -> web.Response:
        """One page by keyset. `after_cursor` belongs to its filters; any other cursor's name is not heeded."""
        struck = request["faults"]
        asked = [(k, v) for k, v in sorted(request.query.items()) if k not in ("after_cursor", "limit")]
        mark = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
        cursor = None if "stuck_cursor" in struck else request.query.get("after_cursor")
        after = _read_cursor(cursor, mark) if cursor else -1
        if after is None:
            return web.json_response({"type": "validation error", "error": "invalid cursor"}, status=422)
        limit = min(int(request.query.get("limit", 20)), self.page_cap)
        limit = min(limit, int(struck["short_pages"].value)) if "short_pages" in struck else limit
        rest = [item for item in found if key(item) > after]
        page = [] if "empty_page" in struck else rest[:limit]
        body: dict[str, Any] = {name: [record(item) for item in page]}
        if "ends_early" in struck:
            return web.json_response({name: []})
        if len(rest) > len(page) or "stuck_cursor" in struck:
            body["next_cursor"] = _cursor(key(page[-1]) if page else after, mark)
        return web.json_response(body)

    async def _markets(self, request: web.Request) -> web.Response:
        """The old list: by offset, deprecated, refused beyond a depth; by `id` it has markets in any state."""
        ids = request.query.getall("id", [])
        offset, limit = int(request.query.get("offset", 0)), min(int(request.query.get("limit", 20)), self.page_cap)
        if offset > LONGEST_OFFSET:
            return web.json_response({"error": "offset too large"}, status=422)
        known = [self.world.by_id(name) for name in ids] if ids else list(self._selected(request))
        page = [market for market in known if market and market.is_listed(self.now)][offset : offset + limit]
        headers = {"deprecation": "true", "sunset": "Fri, 01 May 2026 00:00:00 GMT"}
        return web.json_response([self._gamma(market) for market in page], headers=headers)

    async def _market(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        market = self.world.by_condition(name) if name.startswith("0x") else self.world.by_id(name)
        if market is None or not market.is_listed(self.now):
            return web.json_response({"type": "not found error", "error": "id not found"}, status=404)
        if name.startswith("0x"):
            return web.json_response(self._amended(name, clob_record(market, self.now)))
        return web.json_response(self._gamma(market))

    def _gamma(self, market: Market) -> dict[str, Any]:
        return self._amended(market.market_id, gamma_record(market, self.now))

    def _amended(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """A record with the fields that were written anew for it."""
        for field, value in self.amendments.get(name, {}).items():
            if value == {"absent": True}:
                record.pop(field, None)
            else:
                record[field] = value
        return record

    # the CLOB

    async def _history(self, request: web.Request) -> web.Response:
        """Points of a token; whatever it does not like it answers with nothing, as the real one does."""
        found = self.world.by_token(request.query.get("market", ""))
        since, until = (int(request.query.get(name, 0)) for name in ("startTs", "endTs"))
        minutes = int(request.query.get("fidelity", 60))
        if found is None or until - since > LONGEST_HISTORY_SECONDS or until <= since or minutes not in _FIDELITIES:
            return web.json_response({"history": []})
        last = min(datetime.fromtimestamp(until, UTC), self.now)
        points = history(*found, datetime.fromtimestamp(since, UTC), last, minutes)
        if "text_points" in request["faults"]:
            points = [{**point, "p": str(point["p"])} for point in points]
        if "late_points" in request["faults"]:
            points = [{**point, "t": point["t"] * 1000} for point in points]
        return web.json_response({"history": points})

    async def _book(self, request: web.Request) -> web.Response:
        found = self.world.by_token(request.query.get("token_id", ""))
        made = book(*found, self.now) if found else None
        return web.json_response(made) if made else web.json_response({"error": _NO_BOOK}, status=404)

    async def _midpoint(self, request: web.Request) -> web.Response:
        found = self.world.by_token(request.query.get("token_id", ""))
        if found is None or found[0].is_closed(self.now):
            return web.json_response({"error": _NO_BOOK}, status=404)
        shown = price(found[0], self.now)
        return web.json_response({"mid": f"{shown if found[1] == 0 else 1 - shown:.6g}"})

    # the news

    async def _articles(self, request: web.Request) -> web.Response:
        """GDELT's ArtList: articles about whatever is asked for, seen within the window, newest first."""
        query, struck = request.query, request["faults"]
        if not query.get("query") or query.get("mode", "").lower() != "artlist" or query.get("format") != "json":
            return web.Response(text="Your query was too short or too long.", content_type="text/html")
        until = datetime.strptime(query["enddatetime"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        since = datetime.strptime(query["startdatetime"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        ahead = timedelta(days=2) if "late_news" in struck else -timedelta(hours=5)
        found = []
        for number in range(min(int(query.get("maxrecords", 75)), 4)):
            seen = min(until, self.now) + ahead - timedelta(hours=20 * number)
            if seen >= since:
                found.append(article(query["query"], number, None if "undated_news" in struck else seen))
        return web.json_response({"articles": found})

    # for those who run the world

    async def _truth(self, request: web.Request) -> web.Response:
        """How every market ends, and the chance people rightly gave its first outcome at the beginning."""
        rows = [
            {
                "market_id": market.market_id,
                "fate": market.event.fate,
                "is_true": market.is_true,
                "prior": market.event.prior[market.hypothesis],
                "end_at": market.event.end_at.isoformat(),
                "ended_at": market.event.ended_at.isoformat(),
                "oddity": market.oddity,
                "series": market.event.series,
            }
            for market in self.world.markets()
        ]
        return web.json_response(rows)

    async def _clock(self, request: web.Request) -> web.Response:
        return web.json_response({"now": self.now.isoformat()})

    async def _set_clock(self, request: web.Request) -> web.Response:
        moment = _moment((await request.json()).get("now"))
        if moment is None:
            return web.json_response({"error": "now must be an ISO time"}, status=400)
        self.now = moment
        return await self._clock(request)

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response(self.stats)

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.append(Fault(**await request.json()))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"faults": len(self.faults)})

    async def _amend(self, request: web.Request) -> web.Response:
        for name, fields in (await request.json()).items():
            self.amendments.setdefault(name, {}).update(fields)
        return web.json_response({"amended": len(self.amendments)})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        self.amendments.clear()
        return web.json_response({"faults": 0})


_FIDELITIES = (1, 10, 60, 360, 720, 1440)
_NO_BOOK = "No orderbook exists for the requested token id"


def _instead(struck: dict[str, Fault]) -> web.Response | None:
    """The faults that are an answer of their own."""
    if "rate_limit" in struck:
        rest = struck["rate_limit"].value
        return web.Response(
            status=429, text="error code: 1015", headers={} if rest is None else {"Retry-After": str(rest)}
        )
    if "status" in struck:
        return web.Response(status=int(struck["status"].value), text="upstream error")
    if "refusal" in struck:
        return web.Response(status=400, text=str(struck["refusal"].value))
    if "garbage" in struck:
        return web.Response(text="<!DOCTYPE html><html><body>Just a moment...</body></html>", content_type="text/html")
    return web.json_response({"message": "try again"}) if "wrong_shape" in struck else None


async def _broken_off(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    stream = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
    await stream.prepare(request)
    await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return stream


def _moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _cursor(after: int, mark: str) -> str:
    return base64.urlsafe_b64encode(f"{mark}:{after}".encode()).decode()


def _read_cursor(cursor: str, mark: str) -> int | None:
    try:
        belongs, after = base64.urlsafe_b64decode(cursor.encode()).decode().split(":")
        return int(after) if belongs == mark else None
    except ValueError:
        return None


async def _serve(server: Server, out: Path, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(server.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        _write(out / "polymarket.json", url, server.world.size)
        click.echo(f"ready at {url}")
        await stop.wait()
    finally:
        await runner.cleanup()


def _write(path: Path, url: str, size: Size) -> None:
    facts = {**vars(size), "start": size.start.isoformat()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"url": url, "gamma_url": url, "clob_url": url, **facts}, indent=1))
    part.replace(path)


@click.command("markets")
@click.option("--port", default=8548, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="data/markets", show_default=True, help="For polymarket.json."
)
@click.option("--start", default="2026-01-05", show_default=True, help="First day on which markets end.")
@click.option("--days", default=75, show_default=True, help="Days on which markets end.")
@click.option("--markets", default=40, show_default=True, help="Ordinary markets per day.")
@click.option("--recurring", default=12, show_default=True, help="Markets of a recurring series per day.")
@click.option("--page-cap", default=PAGE_CAP, show_default=True, help="Most records of a page.")
@click.option("--seed", default=7, show_default=True, help="Same seed and sizes, same markets.")
def markets(
    port: int, out: Path, start: str, days: int, markets: int, recurring: int, page_cap: int, seed: int
) -> None:
    """Serve prediction markets with a known truth until stopped; `polymarket.json` in --out says where.

    \b
    Examples
      python -m simulate markets
      python -m simulate markets --port 0 --days 10 --markets 1000 --out data/markets
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "polymarket.json").unlink(missing_ok=True)
    world = MarketWorld(Size(date.fromisoformat(start), days, markets, recurring, seed))
    try:
        asyncio.run(_serve(Server(world, page_cap), out, port))
    except OSError as error:
        raise click.ClickException(
            f"port {port} is not free ({error.strerror}): choose another, or 0 for any"
        ) from None
