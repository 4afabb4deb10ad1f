"""The stock market of the embedded world, told by two bar providers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulate import START_SECONDS


@dataclass(frozen=True)
class RunningBars:
    """A stock market that serves: what `bars.json` says, and its process."""

    folder: Path
    info: dict[str, Any]
    process: subprocess.Popen[bytes] = field(repr=False)

    def config(self, provider: str = "alpaca") -> str:
        """`[bars]` of foreshore.toml for it; keys come from the environment of `environ`."""
        tables = [
            ("eodhd", f'url = "{self.info["eodhd_url"]}"\nkey_env = "WORLD_BARS_TOKEN"'),
            (
                "alpaca",
                f'url = "{self.info["alpaca_url"]}"\nstream_url = "{self.info["stream_url"]}"\n'
                'key_env = "WORLD_BARS_KEY"\nsecret_env = "WORLD_BARS_SECRET"',
            ),
        ]
        text = f'[bars]\nprovider = "{provider}"\n'
        for kind, rest in tables:
            text += f'[[bars.providers]]\nname = "{kind}"\nkind = "{kind}"\nfeed = "{self.info["feed"]}"\n{rest}\n'
        return text

    @property
    def environ(self) -> dict[str, str]:
        """The variables `config` names."""
        names = {"WORLD_BARS_TOKEN": "token", "WORLD_BARS_KEY": "key", "WORLD_BARS_SECRET": "secret"}
        return {variable: str(self.info[name]) for variable, name in names.items()}

    def control(self, kind: str, **fault: Any) -> None:
        """Switch a fault of `faults.KINDS` on: value, channel, symbol, first, last, count."""
        self._send("POST", "_control", {"kind": kind, **fault})

    def act(self, symbol: str, kind: str, ex_date: str, **terms: float) -> None:
        """Let the providers tell of a corporate action: `old` and `new` of a split, `cash` of a dividend."""
        self._send("POST", "_actions", {"symbol": symbol, "kind": kind, "ex_date": ex_date, **terms})

    def heal(self) -> None:
        """All faults off."""
        self._send("DELETE", "_control")

    def clock(self, **wanted: Any) -> dict[str, Any]:
        """The market's time; with `now`, `speed`, `run` it is set first."""
        return dict(self._send("POST" if wanted else "GET", "_clock", wanted or None))

    def stats(self) -> dict[str, int]:
        """Requests so far by kind."""
        return dict(self._send("GET", "_stats"))

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            str(self.info["url"]) + path, data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def running(out: Path, **options: Any) -> Iterator[RunningBars]:
    """A stock market in a process of its own; `options` as on the command line (`now`, `speed`, `symbols`, ...)."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bars.json").unlink(missing_ok=True)
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "simulate", "bars", "--port=0", f"--out={folder}", *arguments]
    with (folder / "bars.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "bars.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the market did not start:\n{(folder / 'bars.log').read_text()[-3000:]}")
            time.sleep(0.02)
        yield RunningBars(folder, json.loads((folder / "bars.json").read_text()), process)
    finally:
        process.terminate()
        process.wait(15)
