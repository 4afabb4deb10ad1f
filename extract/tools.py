"""What fetching needs open in one process: the raw zone, chain clients, bar providers. Opened when first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Protocol, TypeVar, cast

from extract.config import Config
from extract.evm.client import ChainClient
from extract.evm.config import load_chains
from extract.lake import Lake


class Sharing(Protocol):
    """Whoever asks a provider with limits."""

    def share(self, among: int) -> None: ...


S = TypeVar("S", bound=Sharing)


class Tools:
    """Use it in one event loop, inside `async with`. `among`: how many processes share every provider's limits."""

    def __init__(self, config: Config, among: int = 1) -> None:
        self.config, self.lake = config, Lake.of(config)
        self.landing = asyncio.Lock()  # a process lands one load package at a time
        self._among = among
        self._kept: dict[object, Sharing] = {}
        self._opening: dict[object, asyncio.Lock] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Tools:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def keep(self, name: object, opened: Callable[[], AbstractAsyncContextManager[S]]) -> S:
        """What is kept open under `name`; opened by the first who asks."""
        async with self._opening.setdefault(name, asyncio.Lock()):
            if name not in self._kept:
                made = await self._open.enter_async_context(opened())
                made.share(self._among)
                self._kept[name] = made
        return cast(S, self._kept[name])

    async def chain(self, name: str) -> ChainClient:
        """The client of a chain. Errors: ChainError, ConfigError."""
        spec = load_chains(self.config.section("chains"), self.config.environ)[name]
        cache = self.config.root / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        return await self.keep(("chain", name), lambda: ChainClient.open(spec, cache / f"chain-{spec.chain_id}.json"))

    def share(self, among: int) -> None:
        """From now on every provider is asked as by one of `among` processes."""
        self._among = among
        for one in self._kept.values():
            one.share(among)
