"""Run experiments on many markets at once, a bounded number of processes, a deadline for each experiment.

What comes out does not depend on the number of processes: every market is computed alone from what was known before.
"""

from __future__ import annotations

import mmap
import os
import pickle
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decide.markets.experiments.protocol import Snapshot
from decide.markets.experiments.registry import Experiment
from operate.markets.registry import ExperimentError, load_experiments
from operate.markets.worker import BOARD, LENGTH, NOBODY, Inputs, Setup, Task

START_SECONDS = 60.0
MARKETS_PER_TASK = 32
NOTHING_MORE = Inputs()
MOST_HANGS = 3  # of one experiment in a run; then it is left alone for the rest of it
LOOK_SECONDS = 0.1  # between two looks at what the processes do
MOST_PER_LOOK = 1.0  # seconds that one look adds: where more have passed, it was the machine that stood still


@dataclass(frozen=True)
class Evaluated:
    """A market with a row per experiment, in their order."""

    snapshot: Snapshot
    rows: list[dict[str, Any]]


def tasks_of(
    snapshots: Iterable[Snapshot],
    wanted: set[str],
    inputs: Inputs = NOTHING_MORE,
) -> list[Task]:
    """Markets of an event stay together, small events share a task; `wanted` are the ids to compute."""
    events: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        events.setdefault(snapshot.cluster, []).append(snapshot)
    by_market = _ByMarket(inputs)
    tasks: list[Task] = []
    held: list[Snapshot] = []

    def close() -> None:
        todo = tuple(n for n, s in enumerate(held) if s.market_id in wanted)
        if todo:
            tasks.append(Task(len(tasks), tuple(held), todo, by_market.of({s.market_id for s in held})))
        held.clear()

    for event in events.values():
        if not any(s.market_id in wanted for s in event):
            continue
        if held and len(held) + len(event) > MARKETS_PER_TASK:
            close()
        held.extend(event)
    close()
    return tasks


class _ByMarket:
    """The inputs of a run, found by market without looking at all of them for each task."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.places: dict[str, list[tuple[str, str]]] = {}
        for place in (*inputs.heard, *inputs.barred):
            self.places.setdefault(place[0], []).append(place)

    def of(self, markets: set[str]) -> Inputs:
        whole, places = self.inputs, [place for name in markets for place in self.places.get(name, ())]
        return Inputs(
            {name: whole.documents[name] for name in markets if name in whole.documents},
            {place: whole.heard[place] for place in places if place in whole.heard},
            {place: whole.barred[place] for place in places if place in whole.barred},
            {name: whole.earlier[name] for name in markets if name in whole.earlier},
        )


def _barring(task: Task, more: Mapping[tuple[str, str], Mapping[str, Any]]) -> Task:
    """The task without some experiments on some markets; what was barred before keeps its reason."""
    return replace(task, inputs=replace(task.inputs, barred={**more, **task.inputs.barred}))


class _Worker:
    """One process, the task it is on, and the page on which it says where it is."""

    def __init__(self, setup: bytes) -> None:
        with tempfile.TemporaryFile() as page:
            page.truncate(mmap.PAGESIZE)
            self.memory = mmap.mmap(page.fileno(), mmap.PAGESIZE)
            BOARD.pack_into(self.memory, 0, time.monotonic(), *NOBODY)
            root = str(Path(__file__).parents[2])
            path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
            self.process = subprocess.Popen(
                [sys.executable, "-m", "operate.markets.worker", str(page.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(page.fileno(),),
                # one thread each: the processes are the concurrency; sets in the same order everywhere
                env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            )
        self.task: Task | None = None
        self.is_ready = self.is_over = False
        self._heard = bytearray()
        self._seen = (0.0, *NOBODY)
        self._seconds = 0.0
        self._looked = time.monotonic()
        self._send(setup)

    def give(self, task: Task) -> None:
        self.task = task
        self._send(pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL))

    def receive(self) -> list[tuple[Any, ...]]:
        """The messages that have come whole; waits for at least some bytes. `is_over` when there will be no more."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 18)
        self.is_over = not data
        self._heard += data
        found = []
        while len(self._heard) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._heard)[0]
            if len(self._heard) < end:
                break
            found.append(pickle.loads(self._heard[LENGTH.size : end]))
            del self._heard[:end]
        return found

    def doing(self) -> tuple[int, int]:
        """Market's place and experiment's place; −1 when between two, or while loading."""
        _, place, number = BOARD.unpack_from(self.memory, 0)
        return place, number

    def look(self) -> tuple[int, int, float]:
        """What it is doing (see `doing`), and for how many seconds it has been seen at that, by looking often.

        Not the difference of two times: a virtual machine that is paused for a minute would end a sound experiment.
        """
        seen, now = BOARD.unpack_from(self.memory, 0), time.monotonic()
        passed, self._looked = min(now - self._looked, MOST_PER_LOOK), now
        self._seconds = self._seconds + passed if seen == self._seen else 0.0
        self._seen = seen
        return seen[1], seen[2], self._seconds

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # a dead process is noticed by its silence
            self.process.stdin.write(data)
            self.process.stdin.flush()


class Pool:
    """Iterate `results`; leave the `with` block and every process is gone."""

    def __init__(self, experiments: Sequence[Experiment], setup: Setup, *, processes: int, timeout: float) -> None:
        self.experiments, self.timeout, self.processes = experiments, timeout, processes
        self._setup = pickle.dumps(setup, protocol=pickle.HIGHEST_PROTOCOL)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._hangs: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers):
            self._retire(worker)
        self._selector.close()

    def results(self, tasks: Sequence[Task]) -> Iterator[Evaluated]:
        """Every wanted market of every task once, in the order in which they become ready."""
        waiting = deque(tasks)
        for _ in range(min(self.processes, len(waiting))):
            self._hire()
        while waiting or any(worker.task for worker in self._workers):
            for worker in self._workers:
                if worker.is_ready and worker.task is None and waiting:
                    worker.give(self._without_suspended(waiting.popleft()))
            for key, _ in self._selector.select(timeout=min(LOOK_SECONDS, self.timeout / 4)):
                yield from self._hear(key.data, waiting)
            for worker in list(self._workers):
                yield from self._watch(worker, waiting)

    def _hear(self, worker: _Worker, waiting: deque[Task]) -> Iterator[Evaluated]:
        for message in worker.receive():
            if message[0] == "broken":
                raise ExperimentError(message[1])
            if message[0] == "ready":
                worker.is_ready = True
            elif message[0] == "done":
                worker.task = None
            else:
                yield self._taken(worker, message[2], message[3])
        if worker.is_over:
            self._bury(worker, waiting)

    def _taken(self, worker: _Worker, place: int, rows: list[dict[str, Any]]) -> Evaluated:
        """A finished market leaves its task, so that a worker lost later loses nothing of it."""
        task = worker.task
        assert task is not None
        worker.task = replace(task, todo=tuple(n for n in task.todo if n != place))
        return Evaluated(task.snapshots[place], rows)

    def _watch(self, worker: _Worker, waiting: deque[Task]) -> Iterator[Evaluated]:
        """End a process whose experiment is over its time, or that does not start."""
        place, number, seconds = worker.look()
        if not worker.is_ready and seconds > START_SECONDS:
            raise ExperimentError(f"experiments did not load within {START_SECONDS:.0f} s: one hangs while imported")
        if place < 0 or seconds <= self.timeout or worker.task is None:
            return
        worker.process.kill()
        while not worker.is_over:  # what it had finished before
            for message in worker.receive():
                if message[0] == "market":
                    yield self._taken(worker, message[2], message[3])
        name = self.experiments[number].name
        self._hangs[name] += 1
        failure = {"error_class": "ExperimentTimeout", "message": f"no answer within {self.timeout:g} s; stopped"}
        self._give_back(worker, waiting, worker.task.snapshots[place].market_id, name, failure)

    def _bury(self, worker: _Worker, waiting: deque[Task]) -> None:
        """A process that died by itself: once more, then the experiment it was in has failed, or nothing loads."""
        place, number = worker.doing()
        code = worker.process.wait()
        if worker.task is None or place < 0:
            self._deaths["loading"] += not worker.is_ready
            if self._deaths["loading"] > 1:
                raise ExperimentError(f"the process for experiments ended with code {code} while loading them")
            self._give_back(worker, waiting)
            return
        market, name = worker.task.snapshots[place].market_id, self.experiments[number].name
        self._deaths[f"{market} {name}"] += 1
        if self._deaths[f"{market} {name}"] < 2:
            self._give_back(worker, waiting)
            return
        failure = {"error_class": "ExperimentDied", "message": f"its process ended with code {code}, twice"}
        self._give_back(worker, waiting, market, name, failure)

    def _give_back(
        self,
        worker: _Worker,
        waiting: deque[Task],
        market: str = "",
        experiment: str = "",
        failure: Mapping[str, Any] | None = None,
    ) -> None:
        """The rest of a lost worker's task comes first again, without the experiment that was its end."""
        task = worker.task
        self._retire(worker)
        if task is not None and task.todo:
            waiting.appendleft(_barring(task, {(market, experiment): failure} if failure else {}))
        self._hire()

    def _without_suspended(self, task: Task) -> Task:
        """An experiment that hung too often is not started again in this run; every market left says so."""
        tired = [name for name, count in self._hangs.items() if count >= MOST_HANGS]
        if not tired:
            return task
        note = {"error_class": "ExperimentSuspended", "message": f"hung {MOST_HANGS} times in this run; not started"}
        more = {(task.snapshots[n].market_id, name): note for n in task.todo for name in tired}
        return _barring(task, more)

    def _hire(self) -> None:
        worker = _Worker(self._setup)
        self._workers.append(worker)
        assert worker.process.stdout is not None
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _retire(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.process.stdout)
        worker.end()
        if worker in self._workers:
            self._workers.remove(worker)


def run_tasks(setup: Setup, tasks: Sequence[Task], timeout: float) -> list[Evaluated]:
    """Every wanted market of some tasks, in a process of its own beside this one: what a worker of a cluster does."""
    with Pool(load_experiments(setup.experiments, setup.models), setup, processes=1, timeout=timeout) as pool:
        return list(pool.results(tasks))
