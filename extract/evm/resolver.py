"""Names to addresses in threads that nobody has to wait for.

`getaddrinfo` cannot be cancelled. In the event loop's own threads a name server that does not answer would keep
other work from its threads while it lasts, and the process from ending; here a look-up that takes too long is left
behind.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class PatientResolver(AbstractResolver):
    """aiohttp's resolver; each look-up has a daemon thread of its own. Cancel it to stop waiting."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def look_up() -> None:
            try:
                infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
                _tell(loop, found, infos, None)
            except (OSError, UnicodeError) as error:
                _tell(loop, found, [], error if isinstance(error, OSError) else OSError(str(error)))

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in await found
        ]

    async def close(self) -> None:
        """Nothing to release: threads end by themselves."""


def _tell(
    loop: asyncio.AbstractEventLoop, found: asyncio.Future[list[Any]], infos: list[Any], error: OSError | None
) -> None:
    def settle() -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(infos)

    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:  # closed in between: nobody waits any more
            return
