"""Start the markets' server in a process of its own and steer it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

START_SECONDS = 60


@dataclass(frozen=True)
class RunningMarkets:
    """A server that serves: its folder, its address, and its process."""

    folder: Path
    info: dict[str, Any]
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def url(self) -> str:
        return str(self.info["url"])

    def set_clock(self, now: datetime) -> None:
        """From here on it answers as at `now`."""
        self._send("POST", "/_clock", {"now": now.isoformat()})

    def control(self, kind: str, value: Any = None, path: str = "/", count: int | None = None, skip: int = 0) -> None:
        """Switch a fault of `market_faults.KINDS` on."""
        self._send("POST", "/_control", {"kind": kind, "value": value, "path": path, "count": count, "skip": skip})

    def amend(self, records: dict[str, dict[str, Any]]) -> None:
        """Write fields of records anew; `heal` undoes it."""
        self._send("POST", "/_records", records)

    def heal(self) -> None:
        self._send("DELETE", "/_control")

    def stats(self) -> dict[str, int]:
        """Requests so far by first word of the path."""
        return dict(self._send("GET", "/_stats"))

    def truth(self) -> dict[str, dict[str, Any]]:
        """How each market ends, by id."""
        return {row["market_id"]: row for row in self._send("GET", "/_truth")}

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def running_markets(out: Path, **options: int | str) -> Iterator[RunningMarkets]:
    """A server for the duration; options as of the command (`days=10, page_cap=50, start="2026-01-05"`)."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "polymarket.json"
    ready.unlink(missing_ok=True)
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "simulate", "markets", "--port=0", f"--out={folder}", *named]
    with (folder / "polymarket.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{(folder / 'polymarket.log').read_text()[-3000:]}")
            time.sleep(0.02)
        yield RunningMarkets(folder, json.loads(ready.read_text()), process)
    finally:
        process.terminate()
        process.wait(15)


@dataclass(frozen=True)
class RunningModel:
    """An endpoint that serves; `url` is its base for a client."""

    url: str

    def fault(self, kind: str, count: int | None = None, about: str = "") -> None:
        """Switch a fault of `language_model.FAULTS` on."""
        self._send("POST", "/_faults", [{"kind": kind, "count": count, "about": about}])

    def heal(self) -> None:
        """No fault, and nobody has called."""
        self._send("DELETE", "/_faults")

    def calls(self) -> list[dict[str, Any]]:
        """What every request brought: its body and its Authorization header."""
        return list(self._send("GET", "/_calls"))

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        root = self.url.removesuffix("/v1")
        request = urllib.request.Request(root + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def running_model(out: Path) -> Iterator[RunningModel]:
    """An endpoint for the duration."""
    out.mkdir(parents=True, exist_ok=True)
    ready = out / "language_model.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "simulate", "language-model", "--port=0", f"--out={out}"]
    with (out / "language_model.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the endpoint did not start:\n{(out / 'language_model.log').read_text()[-3000:]}")
            time.sleep(0.02)
        yield RunningModel(json.loads(ready.read_text())["url"])
    finally:
        process.terminate()
        process.wait(15)
