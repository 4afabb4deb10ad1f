"""Alpaca's live bars over a websocket: join, authenticate, subscribe, then one-minute bars and their corrections.

Every message is a list: `[{"T": "success", "msg": "connected"}]`, `authenticated`, `[{"T": "subscription", ...}]`, bars
`[{"T": "b", "S": ..., "o", "h", "l", "c", "v", "n", "vw", "t"}]`, `"T": "u"` for a corrected bar (`updatedBars`), and
`[{"T": "error", "code", "msg"}]`. What was sent while we were away is gone: whoever listens must backfill after each
`Joined`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from extract.bars.alpaca import bar_of
from extract.bars.provider import Bar, MalformedAnswer, ProviderDown, ProviderRefused
from extract.evm.redact import redact

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 30.0
HEARTBEAT_SECONDS = 15.0
FATAL_CODES = {401, 402, 403, 404, 405, 409, 410, 411}  # key, plan, symbols: asking again does not change them
JOIN_SECONDS = 15.0
DATA = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


@dataclass(frozen=True)
class Joined:
    """Subscribed from here on; whatever came before, since the last `Lost`, has to be fetched."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Lost:
    """The connection is gone; it is being made again."""

    reason: str


@dataclass(frozen=True)
class Minute:
    """A one-minute bar; `is_update` when it corrects one that was sent before."""

    bar: Bar
    is_update: bool


@dataclass(frozen=True)
class Skipped:
    """A message that is no bar of ours: malformed, or of a symbol that was not subscribed."""

    reason: str


LiveEvent = Joined | Lost | Minute | Skipped


class AlpacaSocket:
    """One stream. `stream` reconnects on its own until the provider refuses for good."""

    def __init__(self, name: str, feed: str, url: str, key: str, secret: str) -> None:
        self.name, self.feed = name, feed
        self._url, self._key, self._secret = url, key, secret

    async def stream(self, symbols: Sequence[str], most_tries: int = 20) -> AsyncIterator[LiveEvent]:
        """Events in the order they came; ends only by error: ProviderRefused, or ProviderDown after `most_tries`
        connections in a row that never joined.
        """
        failed, wanted = 0, frozenset(symbols)
        async with aiohttp.ClientSession() as session:
            while True:
                reason = "the provider closed the connection"
                try:
                    async with session.ws_connect(
                        self._url, heartbeat=HEARTBEAT_SECONDS, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
                    ) as socket:
                        await asyncio.wait_for(self._join(socket, symbols), JOIN_SECONDS)
                        failed = 0
                        yield Joined(tuple(symbols))
                        async for message in socket:
                            if message.type not in DATA:
                                break
                            for event in decode_message(message.data, wanted, self.name):
                                yield event
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    reason = redact(f"{type(error).__name__}: {error}")
                except MalformedAnswer as error:
                    reason = str(error)
                yield Lost(reason)
                failed += 1
                if failed >= most_tries:
                    raise ProviderDown(f"live bars of {self.name} cannot be joined ({reason}, {failed} tries)")
                await asyncio.sleep(min(FIRST_WAIT_SECONDS * 2 ** (failed - 1), LONGEST_WAIT_SECONDS))

    async def _join(self, socket: aiohttp.ClientWebSocketResponse, symbols: Sequence[str]) -> None:
        await self._expect(socket, "success", "connected")
        await socket.send_json({"action": "auth", "key": self._key, "secret": self._secret})
        await self._expect(socket, "success", "authenticated")
        await socket.send_json({"action": "subscribe", "bars": [*symbols], "updatedBars": [*symbols]})
        confirmed = await self._expect(socket, "subscription")
        missing = sorted(set(symbols) - set(confirmed.get("bars", [])))
        if missing and "*" not in confirmed.get("bars", []):
            raise ProviderRefused(f"live bars of {self.name}: {', '.join(missing)} could not be subscribed")

    async def _expect(
        self, socket: aiohttp.ClientWebSocketResponse, kind: str, text: str | None = None
    ) -> dict[str, Any]:
        message = await socket.receive()
        if message.type not in DATA:
            raise aiohttp.ClientConnectionError("the provider closed the connection")
        for part in _parts(message.data, self.name):
            if part.get("T") == "error":
                self._raise(part)
            if part.get("T") == kind and text in (None, part.get("msg")):
                return part
        raise MalformedAnswer(f"live bars of {self.name}: no {text or kind} where it belongs")

    def _raise(self, part: dict[str, Any]) -> None:
        said = redact(f"{part.get('code')}: {part.get('msg')}")
        if part.get("code") in FATAL_CODES:
            raise ProviderRefused(f"live bars of {self.name} refused ({said}): check its key, its plan and the symbols")
        raise aiohttp.ClientConnectionError(said)  # e.g. 406: another connection is still open; it may close


def decode_message(data: str | bytes, symbols: frozenset[str], provider: str) -> list[LiveEvent]:
    """The events of one message; what is no bar of `symbols` is said to be skipped, never dropped silently."""
    try:
        parts = _parts(data, provider)
    except MalformedAnswer as error:
        return [Skipped(str(error))]
    events: list[LiveEvent] = []
    for part in parts:
        kind, symbol = part.get("T"), part.get("S")
        if kind in ("success", "subscription"):
            continue
        if kind not in ("b", "u"):
            events.append(Skipped(redact(f"message of type {kind!r}: {part.get('code', '')} {part.get('msg', '')}")))
        elif symbol not in symbols:
            events.append(Skipped(f"a bar of {symbol!r}, which was not subscribed"))
        else:
            try:
                events.append(Minute(bar_of(part, symbol, f"live bar of {symbol}"), is_update=kind == "u"))
            except MalformedAnswer as error:
                events.append(Skipped(str(error)))
    return events


def _parts(data: str | bytes, provider: str) -> list[dict[str, Any]]:
    try:
        parts = msgspec.json.decode(data)
    except msgspec.DecodeError:
        raise MalformedAnswer(f"live bars of {provider}: a message that is not JSON") from None
    if not isinstance(parts, list) or any(not isinstance(part, dict) for part in parts):
        raise MalformedAnswer(f"live bars of {provider}: a message that is no list of objects")
    return parts
