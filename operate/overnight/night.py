"""One night: every line in rounds until it is done or the tries are used up, then build, publish and report.

Each step is a process of its own (`foreshore ...`): what one of them takes or breaks ends with it. All of them resume,
so a night that was killed anywhere is started again and goes on where it stood.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from extract.config import CONFIG_VARIABLE, Config
from operate.log import DurableLog
from operate.overnight import journal
from operate.overnight.settings import NightSettings, Step, night_folder
from operate.run_id import RUN_ID_VARIABLE, new_run_id

BEAT_SECONDS = 10.0
STOP_SECONDS = 30.0  # a step asked to stop has this long before it is killed
GOOD = (0, 3)  # done, and nothing to do
STOPPED_FOR_TIME = 124  # as coreutils' timeout says it


@dataclass
class Told:
    """What became of a step: its last exit code, tries and seconds in all."""

    name: str
    exit_code: int
    tries: int
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.exit_code in GOOD


@dataclass
class Night:
    """One night's run over a configuration. `rest` waits (seconds); tests hand in their own."""

    config: Config
    settings: NightSettings
    closing: Sequence[Step]
    rest: Callable[[float], None] = time.sleep
    run_id: str = field(default_factory=new_run_id)

    def run(self) -> dict[str, Any]:
        """Run all of it; returns (and leaves in last.json) run_id, exit_code, and per step what became of it."""
        logs = self.config.root / "logs"
        for name in ("extract.jsonl", "overnight.jsonl"):
            journal.rotate(logs / name, self.settings.log_megabytes, self.settings.logs_kept)
        self.log = DurableLog(logs / "overnight.jsonl", run_id=self.run_id)
        self.output = logs / "overnight" / f"{self.run_id}.log"
        self.output.parent.mkdir(parents=True, exist_ok=True)
        journal.keep_newest(self.output.parent, "*.log", self.settings.logs_kept)
        started = time.monotonic()
        self.log.write("started", steps=[step.name for step in (*self.settings.lines, *self.closing)])
        try:
            told = [*self._rounds(self.settings.lines), *(t for step in self.closing for t in self._rounds([step]))]
        except BaseException as error:
            self.log.write("stopped", error=type(error).__name__)
            raise
        good = sum(step.is_good for step in told)
        result = {
            "run_id": self.run_id,
            "exit_code": 0 if good == len(told) else 2 if good else 1,
            "seconds": round(time.monotonic() - started, 1),
            "steps": [asdict(step) for step in told],
            "output": str(self.output),
        }
        self.log.write("finished", **result)
        journal.note(night_folder(self.config), journal.RESULT, result)
        return result

    def _rounds(self, steps: Sequence[Step]) -> list[Told]:
        """Every step once, then those that failed again after a rest, which all of them share."""
        told: dict[str, Told] = {}
        due = list(steps)
        for number in range(1, self.settings.tries + 1):
            if number > 1:
                wait = self.settings.rest(number)
                self.log.write("resting", seconds=wait, due=[step.name for step in due])
                self._beat("resting", number)
                self.rest(wait)
            for step in due:
                code, seconds = self._once(step, number)
                before = told.get(step.name)
                told[step.name] = Told(step.name, code, number, round(seconds + (before.seconds if before else 0), 1))
            due = [step for step in due if told[step.name].exit_code in (*step.retry_on, STOPPED_FOR_TIME)
                   or told[step.name].exit_code < 0]  # fmt: skip
            if not due:
                break
        return list(told.values())

    def _once(self, step: Step, number: int) -> tuple[int, float]:
        started = time.monotonic()
        self.log.write("step", step=step.name, tried=number, command=" ".join(step.arguments))
        environment = {
            **os.environ,
            CONFIG_VARIABLE: str(self.config.path.resolve()),
            RUN_ID_VARIABLE: f"{self.run_id}-{step.name}-{number}",
        }
        with self.output.open("ab") as output:
            output.write(f"== {step.name}, try {number}: foreshore {' '.join(step.arguments)}\n".encode())
            output.flush()
            with _process(step, environment, output) as process:
                code = self._wait(process, step, number, started)
        self.log.write("step ended", step=step.name, tried=number, exit_code=code)
        return code, time.monotonic() - started

    def _wait(self, process: subprocess.Popen[bytes], step: Step, number: int, started: float) -> int:
        """Its exit code. The clock is one that stands still while the machine sleeps."""
        while True:
            self._beat(step.name, number, process.pid)
            try:
                return process.wait(BEAT_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() - started > self.settings.step_hours * 3600:
                    stop(process)
                    return STOPPED_FOR_TIME

    def _beat(self, step: str, number: int, child: int | None = None) -> None:
        facts = {"run_id": self.run_id, "pid": os.getpid(), "step": step, "try": number, "child_pid": child}
        journal.note(night_folder(self.config), journal.HEARTBEAT, facts)


@contextmanager
def _process(step: Step, environment: dict[str, str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The step as a process group of its own, stopped whole when the night is."""
    command = [sys.executable, "-m", "operate", *step.arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process group: asked first, killed after STOP_SECONDS; nothing where it has ended."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def output_end(path: Path, lines: int) -> list[str]:
    """The last lines of a night's output."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []
