"""Work that is killed at its n-th step, without a word, as kill -9 does.

A step is whatever changes what others may see: a statement given to DuckDB, a file opened for writing, a rename, a
link, a new folder, a deletion. Counting them needs no clock, so a slow machine kills in the same places. The process
imports what the work needs once and forks for every round: one JSON line in (`step` 0 counts them all, `during` kills
while the step runs, `seconds` kills by the clock), one out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).parents[1]
WATCHED = {"os.rename", "os.remove", "os.symlink", "os.link", "shutil.rmtree", "os.mkdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
HUNG_SECONDS = 300


class Steps:
    """Counts steps of all threads; at the wanted one this process is gone, with all that it has started."""

    def __init__(self, wanted: int, during: bool) -> None:
        self.wanted, self.during, self.taken, self.lock = wanted, during, 0, threading.Lock()

    def step(self) -> None:
        with self.lock:
            self.taken += 1
            if self.taken != self.wanted:
                return
        if self.during:
            threading.Thread(target=kill).start()
        else:
            kill()

    def watch(self) -> None:
        """Count from now on, in this process."""
        for name in ("execute", "executemany"):
            setattr(duckdb.DuckDBPyConnection, name, self._counted(getattr(duckdb.DuckDBPyConnection, name)))
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            self.step()

    def _counted(self, original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.step()
            return original(*arguments, **named)

        return call


def kill() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


def serve(work: Callable[[dict[str, Any]], int]) -> None:
    """Answer rounds until the other side closes; `work` returns its exit code."""
    for line in sys.stdin:
        asked = json.loads(line)
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            _one_round(work, asked, tell)
        os.close(tell)
        ready, _, _ = select.select([told], [], [], asked.get("seconds") or HUNG_SECONDS)
        is_hung = not ready and not asked.get("seconds")
        if not ready:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        said = os.read(told, 100).decode()
        os.close(told)
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it started and left
        steps, _, code = said.partition(" ")
        found = {"killed": os.WIFSIGNALED(status), "hung": is_hung, "steps": int(steps or 0), "code": int(code or -1)}
        print(json.dumps(found), flush=True)


def _one_round(work: Callable[[dict[str, Any]], int], asked: dict[str, Any], tell: int) -> None:
    os.setpgid(0, 0)
    said = os.open(asked.get("said", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    steps = Steps(asked["step"], asked.get("during", False))
    steps.watch()
    code = work(asked)
    os.write(tell, f"{steps.taken} {code}".encode())
    os._exit(0)


class Killer:
    """The forking process, from the outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, **asked: Any) -> dict[str, Any]:
        """One round: `killed`, `hung`, the `steps` it took and the exit `code` where it came to its end."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"step": 0, **asked}), file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def killer(module: str) -> Iterator[Killer]:
    """The rounds of a module that calls `serve`."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()
