"""The embedded world by wing, reached only over the network, as the real thing is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS = 180


@dataclass(frozen=True)
class RunningWorld:
    """A world that serves: its folder, what `world.json` says, and its process."""

    folder: Path
    info: dict[str, Any]
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def rpc_url(self) -> str:
        return str(self.info["rpc_url"])

    def profile_url(self, name: str) -> str:
        """The endpoint that behaves like a provider of `profiles.py`."""
        return f"{self.rpc_url}p/{name}"

    def control(
        self,
        kind: str,
        value: Any = None,
        *,
        profile: str | None = None,
        methods: Sequence[str] | None = None,
        count: int | None = None,
    ) -> None:
        """Switch a fault of `faults.KINDS` on: one profile, some methods (None: all), `count` times or for ever."""
        body = {"fault": {"kind": kind, "value": value}, "profile": profile, "methods": methods, "count": count}
        self._send("POST", "_control", body)

    def heal(self) -> None:
        """All faults off."""
        self._send("DELETE", "_control")

    def stats(self) -> dict[str, dict[str, int]]:
        """Requests so far by profile and method."""
        return dict(self._send("GET", "_stats"))

    def actions(self) -> list[dict[str, Any]]:
        """The agents' own books, oldest first."""
        return [json.loads(line) for line in (self.folder / "actions.jsonl").read_text().splitlines()]

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.rpc_url + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def serving(verb: str, told: str, out: Path, sizes: Sequence[str]) -> Iterator[RunningWorld]:
    """A process of `python -m simulate` that writes the file `told`; RuntimeError shows its output when it does not."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / told).unlink(missing_ok=True)  # an earlier world's
    command = [sys.executable, "-m", "simulate", verb, "--port=0", f"--out={folder}", *sizes]
    with (folder / "world.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / told).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the world did not start:\n{(folder / 'world.log').read_text()[-3000:]}")
            time.sleep(0.02)
        yield RunningWorld(folder, json.loads((folder / told).read_text()), process)
    finally:
        process.terminate()
        process.wait(15)
