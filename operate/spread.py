"""Independent parts of a computation, done here or by a cluster; whoever asks keeps each result as it comes."""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from extract.cluster import open_cluster
from extract.where import Where
from extract.worker import Terms

T = TypeVar("T")


def spread(
    where: Where, workers: int, function: Callable[..., T], parts: Sequence[tuple[Any, ...]], say: Callable[[str], None]
) -> Iterator[tuple[int, T]]:
    """(place, `function(*part)`) of every part, in the order in which they become ready.

    `function` is one of a module that workers can import; parts are pickled. Errors: the function's own, ClusterError.
    """
    if where.is_cluster and parts:
        yield from _on_cluster(where, workers, function, parts, say)
        return
    for place, part in enumerate(parts):
        yield place, function(*part)


def _on_cluster(
    where: Where, workers: int, function: Callable[..., T], parts: Sequence[tuple[Any, ...]], say: Callable[[str], None]
) -> Iterator[tuple[int, T]]:
    ready: queue.Queue[tuple[int, Any]] = queue.Queue()
    ended = -1  # in a place's stead: the error that ended the work

    async def work() -> None:
        async with open_cluster(where, workers, Terms(secrets.token_hex(8)), lambda _: None, say) as cluster:
            slots = asyncio.Semaphore(max(32, 4 * workers))

            async def one(place: int, part: tuple[Any, ...]) -> None:
                async with slots:
                    ready.put((place, await cluster.run(function, *part)))

            async with asyncio.TaskGroup() as group:
                for place, part in enumerate(parts):
                    group.create_task(one(place, part))

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            ready.put((ended, error))

    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        for _ in parts:
            place, result = ready.get()
            if place == ended:
                raise result.exceptions[0] if isinstance(result, BaseExceptionGroup) else result
            yield place, result
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()
