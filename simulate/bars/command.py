"""`python -m simulate bars`: the stock market of the world, served until told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import click
from aiohttp import web

from simulate.bars.clock import LEAP_AFTER, LEAP_BEFORE, BarClock
from simulate.bars.market import SYMBOLS, Market, read_sessions
from simulate.bars.server import KEY, SECRET, TOKEN, BarServer

READY = "bars.json"


@click.command()
@click.option("--port", default=8548, show_default=True, help="Port on loopback; 0 takes a free one.")
@click.option("--symbols", default=",".join(SYMBOLS), show_default=True, help="What trades; THIN trades thinly.")
@click.option("--seed", default=7, show_default=True, help="Same seed, same minutes.")
@click.option("--now", "start", metavar="TIME", help="The market's time, ISO, UTC; default: after the calendar's 2025.")
@click.option("--speed", default=0.0, show_default=True, help="Times a wall clock; 0: as fast as the stream is read.")
@click.option("--days", default=1, show_default=True, help="Sessions that are played from --now on.")
@click.option("--feed", default="sip", show_default=True, help="Name of the series.")
@click.option(
    "--sessions",
    "calendar",
    type=click.Path(dir_okay=False, path_type=Path),
    default="seeds/bars/sessions.csv",
    show_default=True,
    help="Calendar: date, open_utc, close_utc.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="data/world",
    show_default=True,
    help=f"Where {READY} goes.",
)
def bars(
    port: int,
    symbols: str,
    seed: int,
    start: str | None,
    speed: float,
    days: int,
    feed: str,
    calendar: Path,
    out: Path,
) -> None:
    """Serve bars as EODHD and Alpaca do, over HTTP and a websocket; `bars.json` appears when all is ready.

    The market's clock stands at --now until somebody subscribes to live bars, then runs at --speed: a session of 390
    minutes takes 6.5 s at 3600, and as long as its listener needs at 0.

    \b
    Examples
      python -m simulate bars --now 2026-03-09T13:25:00Z
      python -m simulate bars --now 2025-11-28T14:25:00Z --speed 3600 --port 0    a half day in 3.5 s
    """
    try:
        market = Market(read_sessions(calendar), tuple(symbols.upper().split(",")), seed)
    except (OSError, KeyError, ValueError) as error:
        raise click.ClickException(f"{calendar} is no calendar (date, open_utc, close_utc): {error}") from None
    first = next(number for number, s in enumerate(market.sessions) if s.day.year >= 2026)
    moment = market.sessions[first].open - LEAP_BEFORE if start is None else _moment(start)
    played = [s for s in market.sessions if s.close > moment][:days]
    if not played:
        raise click.ClickException(f"{calendar} has no session after {start}")
    server = BarServer(market, BarClock(moment, speed, market.sessions), played[-1].close + LEAP_AFTER, feed)
    out.mkdir(parents=True, exist_ok=True)
    (out / READY).unlink(missing_ok=True)
    told = {"symbols": list(market.symbols), "seed": seed, "feed": feed, "speed": speed, "now": moment}
    asyncio.run(_serve(server, port, out, told))


async def _serve(server: BarServer, port: int, out: Path, told: dict[str, object]) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(server.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host = f"127.0.0.1:{runner.addresses[0][1]}"
        told |= {
            "url": f"http://{host}/",
            "eodhd_url": f"http://{host}/eodhd",
            "alpaca_url": f"http://{host}/alpaca",
            "stream_url": f"ws://{host}/alpaca/stream",
            "token": TOKEN,
            "key": KEY,
            "secret": SECRET,
        }
        part = out / f"{READY}.part"
        part.write_text(json.dumps(told, indent=1))
        part.replace(out / READY)
        click.echo(f"ready at {told['url']}")
        await stop.wait()
    except OSError as error:
        raise click.ClickException(
            f"port {port} is not free ({error.strerror}); choose another with --port, or 0 for any"
        ) from None
    finally:
        await runner.cleanup()


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.ClickException(f"--now {text}: write a time such as 2026-03-09T13:25:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
