"""Builds that are killed at their n-th step, without a word, as kill -9 does.

A step is a statement given to DuckDB, a rename, a link, a new folder or a deletion: whatever changes what readers may
see. Counting them needs no clock, so a slow machine kills in the same places. The process imports dbt once and forks
for every build: one JSON line in (`step` 0 counts them all, `during` kills while the step runs), one out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import chdir
from typing import Any

import dbt.adapters.duckdb.connections
import dbt.cli.main  # noqa: F401
import duckdb

from operate.lock import building
from operate.rebuild import run_dbt
from operate.warehouse import Warehouse, publish
from tests.publication_fixtures import Small

WATCHED = {"os.rename", "os.remove", "os.symlink", "shutil.rmtree", "os.mkdir"}


class Steps:
    """Counts steps of all threads; at the wanted one this process is gone."""

    def __init__(self, wanted: int, during: bool) -> None:
        self.wanted, self.during, self.taken, self.lock = wanted, during, 0, threading.Lock()

    def step(self) -> None:
        with self.lock:
            self.taken += 1
            if self.taken != self.wanted:
                return
        if self.during:
            threading.Thread(target=self.kill).start()
        else:
            self.kill()

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count from now on, in this process."""
        for name in ("execute", "executemany"):
            setattr(duckdb.DuckDBPyConnection, name, self._counted(getattr(duckdb.DuckDBPyConnection, name)))
        sys.addaudithook(lambda event, _: self.step() if event in WATCHED else None)

    def _counted(self, original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.step()
            return original(*arguments, **named)

        return call


def build(asked: dict[str, Any]) -> int:
    """One build and publication in this process; how many steps it took."""
    small = Small.of(asked["folder"], asked["root"])
    os.environ.update(small.environment())
    steps = Steps(asked["step"], asked["during"])
    steps.watch()
    warehouse: Warehouse = small.warehouse
    with chdir(small.folder), building(warehouse.build_file.parent):
        run_dbt(warehouse, ["--quiet", "build", *asked["flags"]])
        publish(warehouse)
    return steps.taken


def serve() -> None:
    for line in sys.stdin:
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.write(tell, str(build(json.loads(line))).encode())
            os._exit(0)
        os.close(tell)
        said = os.read(told, 100).decode()
        os.close(told)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"killed": os.WIFSIGNALED(status), "steps": int(said or 0)}), flush=True)


if __name__ == "__main__":
    serve()
