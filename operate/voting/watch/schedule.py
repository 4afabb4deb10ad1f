"""Tasks that need one another, a bounded number at once: whatever the most work waits for goes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from graphlib import TopologicalSorter


def ranks(needs: Mapping[str, Collection[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds from a task's begin to the end of the longest chain of tasks that wait for it."""
    found = dict.fromkeys(needs, 0.0)
    for name in reversed(list(TopologicalSorter(needs).static_order())):
        found[name] += seconds.get(name, 0.0)
        for other in needs[name]:
            found[other] = max(found[other], found[name])
    return found


def run_all(
    workers: Executor,
    at_once: int,
    tasks: Mapping[str, Callable[[], None]],
    needs: Mapping[str, Collection[str]],
    rank: Mapping[str, float],
) -> None:
    """Every task once, after those it needs; the first that fails is raised when those at work are done."""
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[str] = []
    running: dict[Future[None], str] = {}
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=lambda name: rank.get(name, 0.0))
        while ready and len(running) < at_once:
            name = ready.pop()
            running[workers.submit(tasks[name])] = name
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        if any(one.exception() for one in done):
            wait(running)
        for one in done:
            one.result()
            sorter.done(running.pop(one))
