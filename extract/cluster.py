"""A Dask cluster as Foreshore uses it: only workers that run the same Foreshore get work, lost work is given again.

Dask schedules. A worker is given a resource named after the run once it has said who it is, and every task asks for
that resource: what joins late, comes back or is of another version gets none before it was looked at.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from extract import worker
from extract.errors import ConfigError, ForeshoreError
from extract.where import Where
from extract.worker import Said, Terms

T = TypeVar("T")
LOOK_SECONDS = 0.5
START_SECONDS = 60.0  # until a host that was asked for must have a worker, and any worker must be there
PATIENCE_SECONDS = 300.0  # that a scheduler may be away, or a cluster without one usable worker
LOST_MOST = 5  # workers that may be lost over one task


class ClusterError(ForeshoreError):
    """A cluster cannot do the work: the message says which part of it, and what to do."""


@dataclass
class Cluster:
    """`run` a function of an importable module on whichever worker is free."""

    address: str
    terms: Terms
    share: Callable[[int], None]  # told among how many this process, too, shares the providers' limits
    say: Callable[[str], None]
    _client: Any = None
    _accepted: dict[str, str] = field(default_factory=dict)  # name by address
    _refused: dict[str, str] = field(default_factory=dict)  # why, by address
    _usable: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: ForeshoreError | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def resource(self) -> str:
        return f"foreshore-{self.terms.run}"

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns. Its own errors are raised; lost workers and a restarted scheduler are not seen."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        while True:
            await self._until_usable()
            client = self._client
            try:
                future = client.submit(function, *arguments, pure=False, resources={self.resource: 1})
                return await future  # type: ignore[no-any-return]
            except KilledWorker:
                raise ClusterError(
                    f"{LOST_MOST} workers were lost over it: look at their memory and logs, then run the same command "
                    "again"
                ) from None
            except FutureCancelledError:
                pass
            except OSError:
                if client is self._client and client.status == "running":
                    raise  # the function's own
            await asyncio.sleep(LOOK_SECONDS)  # the connection is gone: whoever watches makes another

    async def _until_usable(self) -> None:
        while not self._usable.is_set():
            if self._failure:
                raise self._failure
            with suppress(TimeoutError):
                await asyncio.wait_for(self._usable.wait(), LOOK_SECONDS)
        if self._failure:
            raise self._failure

    async def connect(self) -> None:
        """Reach the scheduler. Errors: ClusterError when it is not there in time."""
        from distributed import Client

        connect: Any = Client
        try:
            self._client = await connect(
                self.address, asynchronous=True, set_as_default=False, timeout=10, name="foreshore"
            )
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {self.address} ({type(error).__name__}): start one there with "
                "`dask scheduler`, and check address, port and firewall"
            ) from None

    async def watch(self) -> None:
        """Look at who joins and who is lost, until all is over; connect again when the scheduler is gone."""
        since = time.monotonic()
        while not self._over.is_set():
            try:
                if self._client.status != "running":
                    raise OSError("the scheduler is gone")
                await self._look()
            except (OSError, TimeoutError) as error:
                await self._reconnect(error)
                since = time.monotonic()
            if self._accepted:
                since = time.monotonic()
            elif time.monotonic() - since > (START_SECONDS if self._refused else PATIENCE_SECONDS):
                self._fail(ClusterError(self._nobody()))
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), LOOK_SECONDS)

    def _nobody(self) -> str:
        if self._refused:
            return f"no worker of {self.address} can be used: {'; '.join(dict.fromkeys(self._refused.values()))}"
        return f"{self.address} has no worker: start some there with `dask worker {self.address} --nthreads 1`"

    def _fail(self, error: ForeshoreError) -> None:
        self._failure = error
        self._usable.set()

    async def _look(self) -> None:
        there: Mapping[str, Any] = (await self._client.scheduler.identity(n_workers=-1))["workers"]
        if lost := [address for address in self._accepted if address not in there]:
            for address in lost:
                self.say(f"worker {self._accepted.pop(address)} is lost; what it had is given to another")
            await self._share_out()
        self._refused = {address: why for address, why in self._refused.items() if address in there}
        new = {a: w for a, w in there.items() if a not in self._accepted and a not in self._refused}
        if new:
            await self._meet(new)
        if self._accepted:
            self._usable.set()
        else:
            self._usable.clear()

    async def _meet(self, new: Mapping[str, Any]) -> None:
        """Take in those that are the same Foreshore; nobody gets work before all know among how many they share."""
        answers = await self._client.run(worker.introduce, self.terms, workers=list(new), on_error="return")
        fit = {}
        for address, answer in answers.items():
            name = f"{new[address].get('name') or address} ({new[address].get('host', address)})"
            if why := self._objection(answer):
                self._refused[address] = f"{name} {why}"
                self.say(f"worker {name} is refused: it {why}")
            else:
                fit[address] = name
        if fit:
            self._accepted |= fit
            await self._share_out()
            await self._client.run(_give, self.resource, workers=list(fit), on_error="ignore")
            self.say(f"{len(self._accepted)} workers: {', '.join(sorted(self._accepted.values()))}")

    def _objection(self, answer: object) -> str:
        if not isinstance(answer, Said):
            why = f"{type(answer).__name__}: {answer}" if isinstance(answer, BaseException) else "it says nothing"
            return f"has no such Foreshore in its Python ({why}): install this release there"
        if answer.objection or not answer.facts:
            return answer.objection or "does not say who it is"
        config = self.terms.config
        mine = worker.facts(None if config is None else config.seeds)
        others = [f"{n} {answer.facts.get(n)}, here {v}" for n, v in mine.items() if answer.facts.get(n) != v]
        return f"is another version ({'; '.join(others)}): install the same release and lock there" if others else ""

    async def _share_out(self) -> None:
        """This process asks, too: it plans."""
        among = len(self._accepted) + 1
        self.share(among)
        if self._accepted:
            told = (worker.share, self.terms.run, among)
            await self._client.run(*told, workers=list(self._accepted), on_error="ignore")

    async def _reconnect(self, error: BaseException) -> None:
        self.say(f"the scheduler at {self.address} is gone ({error}); waiting for it")
        self._usable.clear()
        self._accepted.clear()
        self._refused.clear()
        deadline = time.monotonic() + PATIENCE_SECONDS
        old, self._client = self._client, None
        with suppress(Exception):  # its connection is broken: there is nothing to say good-bye to
            await asyncio.wait_for(old.close(timeout=1), 5)
        while True:
            try:
                await self.connect()
                return
            except ClusterError as still:
                if time.monotonic() > deadline:
                    self._client = old
                    self._fail(still)
                    raise
                await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """Let the workers forget the run, and leave."""
        with suppress(Exception):  # whatever is left of a cluster that is gone
            if self._accepted:
                forget = self._client.run(_take_back, self.resource, self.terms.run, workers=list(self._accepted))
                await asyncio.wait_for(forget, 10)
            await asyncio.wait_for(self._client.close(), 10)


async def _give(resource: str, dask_worker: Any) -> None:
    await dask_worker.set_resources(**{resource: dask_worker.state.nthreads})


async def _take_back(resource: str, run: str, dask_worker: Any) -> None:
    await dask_worker.set_resources(**{resource: 0})
    await asyncio.to_thread(worker.leave, run)


@asynccontextmanager
async def open_cluster(
    where: Where, workers: int, terms: Terms, share: Callable[[int], None], say: Callable[[str], None]
) -> AsyncIterator[Cluster]:
    """A cluster to run on: a running scheduler's, hosts over SSH, or processes of this machine.

    Errors: ConfigError where a package is missing, ClusterError where nothing of it can be reached.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError("--engine dask needs the extra: pip install 'foreshore[dask]'")
    import dask
    import distributed  # noqa: F401  # its settings are there before one of them is set

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what of it matters is said in our words
    with dask.config.set({"distributed.scheduler.allowed-failures": LOST_MOST - 1}):
        async with AsyncExitStack() as stack:
            address = await _address(stack, where, workers, say)
            cluster = Cluster(address, terms, share, say)
            await cluster.connect()
            stack.push_async_callback(cluster.close)
            stack.push_async_callback(_end, cluster, asyncio.create_task(_guard(cluster)))
            yield cluster


async def _guard(cluster: Cluster) -> None:
    """Whatever ends the watching is what the run ends with: nobody waits for a watcher that is gone."""
    try:
        await cluster.watch()
    except ForeshoreError as error:
        cluster._fail(error)
    except Exception as error:
        cluster._fail(ClusterError(f"the cluster at {cluster.address} failed: {type(error).__name__}: {error}"))


async def _end(cluster: Cluster, watching: asyncio.Task[None]) -> None:
    """Let the watcher finish its look: a request of it that is cut off leaves the connection in disorder."""
    cluster._over.set()
    await asyncio.wait([watching], timeout=10)
    watching.cancel()


async def _address(stack: AsyncExitStack, where: Where, workers: int, say: Callable[[str], None]) -> str:
    if where.scheduler:
        return where.scheduler
    if where.hosts:
        return await _over_ssh(stack, where.hosts, say)
    from distributed import LocalCluster

    start: Any = LocalCluster
    made = await stack.enter_async_context(
        start(
            n_workers=workers, threads_per_worker=1, processes=True, asynchronous=True, dashboard_address="127.0.0.1:0"
        )
    )
    return str(made.scheduler_address)


async def _over_ssh(stack: AsyncExitStack, hosts: tuple[str, ...], say: Callable[[str], None]) -> str:
    """A scheduler here, a worker per host named (twice: two); a host that does not come up is named and left out."""
    if importlib.util.find_spec("asyncssh") is None:
        raise ConfigError("--hosts needs the extra: pip install 'foreshore[dask]'")
    from distributed import Scheduler

    start: Any = Scheduler
    is_here = all(_split(host)[0].rpartition("@")[2] in ("localhost", "127.0.0.1") for host in hosts)
    interface = {"host": "127.0.0.1"} if is_here else {}
    scheduler = await stack.enter_async_context(start(port=0, dashboard=False, **interface))
    started = await asyncio.gather(*(_start_host(stack, scheduler.address, host, say) for host in hosts))
    if not any(started):
        raise ClusterError(f"none of the hosts {', '.join(hosts)} came up: try `ssh HOST` and `ssh HOST PYTHON -V`")
    return str(scheduler.address)


async def _start_host(stack: AsyncExitStack, scheduler: str, host: str, say: Callable[[str], None]) -> bool:
    from distributed.deploy.ssh import Worker

    name, python = _split(host)
    user, at, machine = name.rpartition("@")
    start: Any = Worker
    made = start(scheduler, machine, {"username": user} if at else {}, {"nthreads": 1}, remote_python=python)
    try:
        async with asyncio.timeout(START_SECONDS):
            await made.start()
    except Exception as error:  # asyncssh's own, the operating system's, dask's bare Exception
        say(f"host {name} did not come up ({type(error).__name__}: {error}); the others work")
        with suppress(Exception):
            await made.close()
        return False
    stack.push_async_callback(made.close)
    return True


def _split(host: str) -> tuple[str, str]:
    """A host and the Python to start there: this one's path unless another is named."""
    name, equals, python = host.partition("=")
    return name, python if equals else sys.executable
