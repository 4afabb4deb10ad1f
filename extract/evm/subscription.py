"""New heads as a provider's websocket tells of them: eth_subscribe, one header a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import msgspec

from extract.evm.blocks import Block, told_head
from extract.evm.errors import DecodeError, Kind, ProviderError, Refusal
from extract.evm.quantity import excerpt, quantity
from extract.evm.redact import redact

HEARTBEAT_SECONDS = 15.0  # a connection that does not answer a ping within half of it is gone
ANSWER_SECONDS = 10.0  # for the chain's id and the subscription
MAX_MESSAGE_BYTES = 1024 * 1024
_TEXT = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


class _Message(msgspec.Struct):
    """An answer (`id`, `result`) or a notification (`params`)."""

    id: int | None = None
    result: Any = None
    error: Any = None
    params: Any = None


async def new_heads(
    session: aiohttp.ClientSession, url: str, provider: str, chain_id: int
) -> AsyncGenerator[Block, None]:
    """Headers as they are told, until the connection ends; a head may be told again, or replaced by another.

    Errors: ProviderError when it cannot be had, ends, serves another chain or says what cannot be read.
    """
    try:
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with session.ws_connect(
            url, heartbeat=HEARTBEAT_SECONDS, timeout=timeout, max_msg_size=MAX_MESSAGE_BYTES
        ) as socket:
            async with asyncio.timeout(ANSWER_SECONDS):
                served = quantity(await _ask(socket, 1, "eth_chainId"), "a chain id")
                if served != chain_id:
                    raise _refused(provider, f"its websocket serves chain id {served}, not {chain_id}", Kind.MISMATCH)
                subscription = await _ask(socket, 2, "eth_subscribe", "newHeads")
            while True:
                told = (await _receive(socket)).params
                if isinstance(told, dict) and told.get("subscription") == subscription:
                    yield told_head(told.get("result"))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _refused(provider, f"its websocket ended: {type(error).__name__}: {error}") from None
    except (DecodeError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(provider, f"its websocket says what cannot be read: {error}", Kind.MALFORMED) from None


async def _ask(socket: aiohttp.ClientWebSocketResponse, number: int, method: str, *params: Any) -> Any:
    await socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    while (answer := await _receive(socket)).id != number:
        pass
    if answer.error is not None:
        raise aiohttp.ClientConnectionError(f"{method} is refused: {excerpt(str(answer.error))}")
    return answer.result


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> _Message:
    message = await socket.receive()
    if message.type not in _TEXT:
        raise aiohttp.ClientConnectionError("the provider closed it")
    return msgspec.json.decode(message.data, type=_Message)


def _refused(provider: str, said: str, kind: Kind = Kind.OTHER) -> ProviderError:
    return ProviderError("new heads", Refusal(kind, redact(said), provider))
