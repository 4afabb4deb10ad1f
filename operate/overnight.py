"""A night: every configured wing's extraction, the build, the report and the morning's look, one after the other.

Each step is a process of its own, tried again with growing pauses while it is partial or failed. A night that is
killed, or whose machine slept or restarted, is run again from its first step: what was complete is skipped by the
steps themselves. `overnight.json` under the storage root says what runs now and how the last night ended.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any

from extract.config import Config
from extract.errors import Busy, ConfigError
from extract.evm.redact import redact
from operate.extraction import NIGHT
from operate.lock import building
from operate.notify import Notifier

STATE = "overnight.json"
LOG = "overnight.log"
LOG_BYTES, LOG_COUNT = 2_000_000, 5
BEAT_SECONDS = 30.0
WINGS = ("voting", "lending", "bars", "markets")
TAIL_LINES = 5


@dataclass(frozen=True)
class Settings:
    """`[overnight]` of foreshore.toml; `steps` are extractions by wing, as arguments of `foreshore`."""

    steps: Mapping[str, Sequence[str]]
    retries: int = 3
    backoff_seconds: float = 60.0
    backoff_most_seconds: float = 900.0
    step_hours: float = 6.0

    @classmethod
    def of(cls, config: Config) -> Settings:
        """The table, or every wing that has something to extract with its usual arguments. Errors: ConfigError."""
        table = dict(config.section("overnight"))
        steps = table.pop("steps", None)
        if steps is None:
            steps = {wing: list(line) for wing, line in USUAL.items() if wing in _configured(config)}
        if not isinstance(steps, Mapping) or not all(
            wing in WINGS and isinstance(line, list) and all(isinstance(word, str) for word in line)
            for wing, line in steps.items()
        ):
            raise ConfigError(
                f'{config.path}: [overnight.steps] names wings and their arguments, e.g. voting = ["extract", "voting"]'
            )
        numbers = {"retries", "backoff_seconds", "backoff_most_seconds", "step_hours"}
        for name, value in table.items():
            if name not in numbers:
                raise ConfigError(f"{config.path}: [overnight] has no {name}: it takes {', '.join(sorted(numbers))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"{config.path}: [overnight] {name} = {value!r} must be a number from 0 on")
        return cls({wing: tuple(line) for wing, line in steps.items()}, **table)


USUAL: Mapping[str, Sequence[str]] = {
    "voting": ("extract", "voting", "--epochs", "2"),
    "lending": ("extract", "lending", "--days", "3"),
    "markets": ("markets", "daily"),
}


def _configured(config: Config) -> set[str]:
    there = {
        "voting": config.section("voting"),
        "lending": config.has_provider,
        "markets": config.section("polymarket"),
    }
    return {wing for wing, found in there.items() if found}


@dataclass
class Step:
    """One command of a night and how it ended."""

    name: str
    arguments: Sequence[str]
    code: int | None = None
    tries: int = 0
    seconds: float = 0.0
    tail: str = ""


@dataclass
class Night:
    """The steps of one night. `sleep` and `run` are the world outside."""

    config: Config
    settings: Settings
    notifier: Notifier
    sleep: Callable[[float], None] = time.sleep
    closing: Sequence[str] = ("build", "report")  # verbs after all extractions
    run_id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}")
    steps: list[Step] = field(default_factory=list)

    def execute(self) -> int:
        """Run it; 0 all well, 2 where a step stayed partial, 1 where one failed. Busy where a night runs already."""
        with building(self.config.root / "overnight"), self._logged() as log:
            log.info("night %s begins", self.run_id)
            for wing, arguments in self.settings.steps.items():
                self._take(log, Step(f"extract {wing}", arguments))
            for name in self.closing:
                self._take(log, Step(name, (name,)))
            code = max((s.code or 0 for s in self.steps), key=lambda c: {0: 0, 3: 0, 2: 1}.get(c, 2), default=0)
            self._note("ended", code=0 if code == 3 else code)
            log.info("night %s ended with %d", self.run_id, code)
        self._tell()
        return 0 if code == 3 else code

    def _take(self, log: logging.Logger, step: Step) -> None:
        """One step, again while it is partial or failed, at most `retries` times more."""
        self.steps.append(step)
        for attempt in range(self.settings.retries + 1):
            if attempt:
                pause = min(self.settings.backoff_seconds * 2 ** (attempt - 1), self.settings.backoff_most_seconds)
                log.info("%s is tried again in %.0f s", step.name, pause)
                self._note(f"waiting to try {step.name} again")
                self.sleep(pause)
            self._note(step.name)
            started = time.monotonic()
            step.tries, (step.code, output) = attempt + 1, self._run(step)
            step.seconds += time.monotonic() - started
            step.tail = "\n".join(output.strip().splitlines()[-TAIL_LINES:])
            log.info("%s ended with %d after %.1f s\n%s", step.name, step.code, step.seconds, output.strip())
            if step.code in (0, 3, 64):  # done, nothing to do, or a request that stays wrong
                return

    def _run(self, step: Step) -> tuple[int, str]:
        command = [sys.executable, "-m", "operate.cli", *step.arguments, "--config", str(self.config.path)]
        environment = {**os.environ, NIGHT: self.run_id}
        with self._beating():
            try:
                done = subprocess.run(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=3600 * self.settings.step_hours,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                said = (error.stdout or b"").decode(errors="replace")
                return 1, f"{redact(said)}\nit took longer than {self.settings.step_hours:g} h and was ended"
        return done.returncode, redact(done.stdout.decode(errors="replace"))

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Touch the state file now and then while a step runs: who looks knows that somebody is alive."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT_SECONDS):
                self._note(self.steps[-1].name)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _note(self, doing: str, code: int | None = None) -> None:
        """The state file, replaced whole."""
        path = self.config.root / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = [{k: v for k, v in vars(s).items() if k not in ("arguments", "tail")} for s in self.steps]
        state = {
            "run_id": self.run_id,
            "pid": os.getpid(),
            "doing": doing,
            "code": code,
            "beat_at": datetime.now(UTC).isoformat(),
            "steps": steps,
        }
        part = path.with_suffix(".part")
        part.write_text(json.dumps(state, indent=1) + "\n")
        part.replace(path)

    @contextmanager
    def _logged(self) -> Iterator[logging.Logger]:
        folder = self.config.root / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / LOG, maxBytes=LOG_BYTES, backupCount=LOG_COUNT)
        handler.setFormatter(logging.Formatter(f"%(asctime)s {self.run_id} %(message)s"))
        log = logging.getLogger("foreshore.overnight")
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        try:
            yield log
        finally:
            log.removeHandler(handler)
            handler.close()

    def _tell(self) -> None:
        bad = [s for s in self.steps if s.code not in (0, 3)]
        if bad:
            text = "\n".join(f"{s.name} ended with {s.code} after {s.tries} tries: {s.tail}" for s in bad)
            self.notifier.tell(f"Foreshore's night {self.run_id} did not end well", text)
        self.notifier.ping(not bad)


def last_night(config: Config) -> dict[str, Any] | None:
    """The state file of the last night, None where there was none or it cannot be read."""
    try:
        found = json.loads((config.root / STATE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_running(config: Config) -> bool:
    """Whether a night runs now: somebody holds its lock."""
    try:
        with building(config.root / "overnight"):
            return False
    except Busy:
        return True
