"""What a process of a cluster does: say who it is, keep its tools open for a run, fetch and land what it is given.

Keys never travel: a worker reads them from its own environment. Its share of every provider's limits is told to it.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import os
import platform
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.redact import redact
from extract.lake import Lake
from extract.ledger import LedgerRow
from extract.store import refusal
from extract.tools import Tools
from extract.work import Job, Unit, fetch_and_land

T = TypeVar("T")
PACKAGES = ("arch", "distributed", "dlt", "duckdb", "msgspec", "numpy", "pyarrow", "scipy", "web3")
ROOMS = ("decide", "extract", "operate")
PROJECT_VARIABLE = "FORESHORE_PROJECT"  # on a worker: the project's folder there, where it lies elsewhere
KEY_FILE = ".foreshore.env"  # in the home folder
MARKS = "_cluster"  # beside the tables: a file per run, which a worker must find in the raw zone that it lands in
FORGET_SECONDS = 3600.0  # tools of a run that nobody ended


@dataclass(frozen=True)
class Terms:
    """What a run asks of its workers: its name, its configuration (None: no data are touched), what they must be able
    to do.
    """

    run: str
    config: Config | None = None
    needs: tuple[Callable[[Config], object], ...] = ()


@dataclass(frozen=True)
class Order:
    """A unit to fetch and land, and the ledger rows that it fills."""

    terms: Terms
    source: str
    due: tuple[LedgerRow, ...]
    unit: Unit


@dataclass(frozen=True)
class Said:
    """What a worker says of itself: the facts that must be everyone's, and why it can do no work (empty: it can)."""

    facts: dict[str, str]
    objection: str = ""


def for_travel(config: Config) -> Config:
    """A configuration that means the same in another folder, without the environment it was read in."""
    return replace(config, path=config.path.resolve(), environ={})


def own(config: Config) -> Config:
    """A configuration that came from elsewhere, with the keys and the project's folder of this machine."""
    environ = {**_key_file(), **os.environ}
    folder = environ.get(PROJECT_VARIABLE)
    return replace(config, path=Path(folder) / config.path.name if folder else config.path, environ=environ)


def _key_file() -> dict[str, str]:
    """`NAME=value` lines of ~/.foreshore.env, as nights read them: what SSH starts has no environment of a shell."""
    path = Path.home() / KEY_FILE
    if not path.is_file():
        return {}
    pairs = [line.partition("=") for line in path.read_text(encoding="utf-8").splitlines()]
    return {name.strip(): value.strip() for name, equals, value in pairs if equals and not name.startswith("#")}


@contextmanager
def mark(lake: Lake, run: str) -> Iterator[None]:
    """While a run is on, its name stands in the raw zone, so that workers can tell that they see the same one."""
    lake.make_folder(lake.join(MARKS))
    lake.fs.pipe_file(lake.join(MARKS, run), b"on\n")
    try:
        yield
    finally:
        with suppress(OSError):
            lake.fs.rm_file(lake.join(MARKS, run))


def introduce(terms: Terms) -> Said:
    """Who this process is, and what keeps it from working for a run."""
    try:
        return Said(facts(None if terms.config is None else own(terms.config).seeds), _objection(terms))
    except ForeshoreError as error:
        return Said({}, redact(str(error)))


def facts(seeds: Path | None) -> dict[str, str]:
    """Code, packages and seeds that rows depend on, by name."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("foreshore", *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    found["code"] = _code()
    if seeds is not None:
        found["seeds"] = _hashed(seeds, "*.csv") if seeds.is_dir() else f"none at {seeds}"
    return found


@cache
def _code() -> str:
    root = Path(__file__).parents[1]
    parts = [_hashed(root / room, "*.py") for room in ROOMS]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def _hashed(folder: Path, pattern: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _objection(terms: Terms) -> str:
    if terms.config is None:
        return ""
    config = own(terms.config)
    lake = Lake.of(config)
    try:
        is_there = lake.fs.exists(lake.join(MARKS, terms.run))
    except Exception as error:  # an object store's libraries each raise their own
        if (told := refusal(error)) is None and not isinstance(error, OSError | ValueError):
            raise
        return f"cannot read the raw zone {config.raw_url}: {told or type(error).__name__}"
    if not is_there:
        return f"does not see this run's raw zone at {config.raw_url}: mount that folder there, or use an object store"
    for need in terms.needs:
        need(config)
    return ""


def fill(order: Order) -> tuple[list[LedgerRow], list[tuple[str, str]]]:
    """Fetch and land one unit; its ledger rows, and what is odd about its data. Errors: StorageError, ConfigError."""
    notes: list[tuple[str, str]] = []

    async def make() -> Unit:
        return order.unit

    async def work() -> list[LedgerRow]:
        tools = _desk().tools(order.terms)
        return await fetch_and_land(tools, order.source, Job("", order.due, make), lambda *note: notes.append(note))

    return _desk().run(work()), notes


def share(run: str, among: int) -> None:
    """From now on this process is one of `among` that ask a run's providers."""
    _desk().share(run, among)


def leave(run: str) -> None:
    """A run is over: close what was open for it."""
    _desk().close(run)


class _Desk:
    """One event loop in a thread of its own, and the tools of each run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tools: dict[str, Tools] = {}
        self._among: dict[str, int] = {}
        self._used: dict[str, float] = {}
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def tools(self, terms: Terms) -> Tools:
        """Call it in the desk's loop."""
        assert terms.config is not None, "a run without data has nothing to fetch"
        self._used[terms.run] = time.monotonic()
        if terms.run not in self._tools:
            self._tools[terms.run] = Tools(own(terms.config), self._among.get(terms.run, 1))
        return self._tools[terms.run]

    def share(self, run: str, among: int) -> None:
        async def told() -> None:
            self._among[run] = among
            if run in self._tools:
                self._tools[run].share(among)
            for other in [name for name, at in self._used.items() if time.monotonic() - at > FORGET_SECONDS]:
                await self._forget(other)

        self.run(told())

    def close(self, run: str) -> None:
        self.run(self._forget(run))

    async def _forget(self, run: str) -> None:
        self._among.pop(run, None)
        self._used.pop(run, None)
        if tools := self._tools.pop(run, None):
            await tools.__aexit__(None, None, None)


@cache
def _desk() -> _Desk:
    return _Desk()
