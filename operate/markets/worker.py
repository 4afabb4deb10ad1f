"""A process that runs experiments and nothing else, so that one that hangs or dies can be ended from outside.

It reads pickled messages on its standard input and answers on its standard output; what experiments print goes to
standard error. A shared page of memory says what it is doing, since when.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from decide.markets.experiments.evaluate import Heard, Known, answer, context_for, known_until
from decide.markets.experiments.language_model import ModelSpec
from decide.markets.experiments.protocol import Document, Experiment, Resolved, Result, Snapshot, plain, result_of
from extract.text import all_storable
from operate.markets.registry import load_experiments

# Since when (monotonic), market's place in the task (-1: none), experiment's place. Time stands first and only grows:
# who reads amid a write sees a time that is too new, never one that is too old.
BOARD = struct.Struct("dqq")
LENGTH = struct.Struct("!I")  # before each message of an answer
NOBODY = (-1, -1)


@dataclass(frozen=True)
class Setup:
    """Sent once: what to load, and what every market may know."""

    experiments: tuple[str, ...]
    settings: Mapping[str, Mapping[str, float]]
    resolved: Resolved
    models: tuple[ModelSpec, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """What is known of markets beside their snapshots: `documents` by market, `heard` of models by (market,
    experiment), `barred` (market, experiment) -> its failure, `earlier` market -> results that exist already."""

    documents: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    heard: Mapping[tuple[str, str], Heard] = field(default_factory=dict)
    barred: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    earlier: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Markets that belong together. `todo` are places in `snapshots`."""

    number: int
    snapshots: tuple[Snapshot, ...]
    todo: tuple[int, ...]
    inputs: Inputs


def evaluate_market(
    experiments: Sequence[Experiment], known: Known, task: Task, place: int, board: Any = None
) -> list[dict[str, Any]]:
    """A row per experiment: a result with its input hash, or the error that it raised."""
    snapshot = task.snapshots[place]
    inputs = task.inputs
    done = {(row["experiment"], row["version"]): row for row in inputs.earlier.get(snapshot.market_id, ())}
    documents = inputs.documents.get(snapshot.market_id, ())
    siblings = [s for s in task.snapshots if s.event_id == snapshot.event_id and s.event_id] or [snapshot]
    results: dict[str, Result] = {}
    rows: list[dict[str, Any]] = []
    for number, experiment in enumerate(experiments):
        about = {"experiment": experiment.name, "version": experiment.version}
        before = done.get((experiment.name, experiment.version))
        if before is not None:
            results[experiment.name] = result_of(before)
            continue
        barred = inputs.barred.get((snapshot.market_id, experiment.name))
        if barred is not None:
            rows.append({**about, **barred})
            continue
        if missing := [name for name in experiment.requires if name not in results]:
            rows.append({**about, "error_class": "RequirementFailed", "message": f"{', '.join(missing)} failed"})
            continue
        if board is not None:
            board(place, number)
        try:
            heard = inputs.heard.get((snapshot.market_id, experiment.name))
            context = context_for(experiment, known, siblings, results, documents, heard)
            result, hashed = answer(experiment, snapshot, context)
            row = {**about, **plain(result), "input_hash": hashed, "known_until": known_until(snapshot, context)}
        except Exception as error:
            rows.append({**about, "error_class": type(error).__name__, "message": str(error) or repr(error)})
            continue
        results[experiment.name] = result
        rows.append(row)
    return [all_storable(row) for row in rows]


def serve(source: BinaryIO, sink: BinaryIO, board_fd: int) -> None:
    """Answer tasks until the other side closes."""
    memory = mmap.mmap(board_fd, mmap.PAGESIZE)

    def board(place: int, number: int) -> None:
        BOARD.pack_into(memory, 0, time.monotonic(), place, number)

    def send(*message: Any) -> None:
        body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        sink.write(LENGTH.pack(len(body)) + body)
        sink.flush()

    setup: Setup = pickle.load(source)
    try:
        experiments = load_experiments(setup.experiments, setup.models)
    except Exception as error:
        send("broken", f"{error}")
        return
    send("ready")
    known = Known(setup.settings, setup.resolved)
    while True:
        try:
            task: Task = pickle.load(source)
        except EOFError:
            return
        for place in task.todo:
            rows = evaluate_market(experiments, known, task, place, board)
            board(*NOBODY)
            send("market", task.number, place, rows)
        send("done", task.number)


def _leave_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone, even by a kill."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print in an experiment must not end up among the answers
    serve(sys.stdin.buffer, sink, int(sys.argv[1]))


if __name__ == "__main__":
    main()
