"""The run's folder: append-only lines that survive a kill at any moment, and say nothing twice.

    signals.jsonl         one line per signal, on the disk (fsync) before anything else happens
    history_checks.jsonl  one line per symbol and bar close: said, quiet, or NO-SIGNALS with the reason and the gaps
    log.jsonl             joined, lost, loading, status changes, in the order they happened
    bar_revisions.jsonl   values of bars that were replaced or refused meanwhile; written when it ends
    run_manifest.json     what was promoted, on what series, since when
    run_result.json       how it ended; absent while it runs and after a kill

A line that was cut off by a kill is dropped when the folder is opened again; a signal's key stands in its line, so
the same signal is never written twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from extract.errors import Busy
from operate.bars.artifacts import json_bytes

SIGNALS, CHECKS, LOG = "signals.jsonl", "history_checks.jsonl", "log.jsonl"
REVISIONS = "bar_revisions.jsonl"
MANIFEST, RESULT = "run_manifest.json", "run_result.json"


def stamp(seconds: float | None = None) -> str:
    """Now (or a moment) as ISO text with milliseconds, UTC."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a file of this folder; none where there is no file."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1] if line]


class RunFolder:
    """An open run folder; Busy when another process has it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = (path / "_lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Busy(f"another pre-paper run writes to {path}: stop it first, or let it go on") from None
        self._files: dict[str, IO[bytes]] = {name: _open_whole(path / name) for name in (SIGNALS, CHECKS, LOG)}
        (path / RESULT).unlink(missing_ok=True)  # of an earlier start: this one has not ended
        self.signal_lines = read_lines(path / SIGNALS)
        self.said = {line["key"] for line in self.signal_lines}
        self.checked = {(line["symbol"], line["close"]) for line in read_lines(path / CHECKS)}
        self._is_dirty = False

    def manifest(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Write the run's manifest, or read the one that is there: a restart goes on with the first one."""
        path = self.path / MANIFEST
        if not path.exists():
            self._replace(path, json_bytes(dict(value)))
        return dict(json.loads(path.read_bytes()))

    def signals(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Append signals and wait until they are on the disk; returns those that were not said before."""
        new = [row for row in rows if row["key"] not in self.said]
        if new:
            handle = self._files[SIGNALS]
            handle.write(b"".join(_line(row) for row in new))
            handle.flush()
            os.fsync(handle.fileno())
            self.said |= {row["key"] for row in new}
        return new

    def check(self, row: Mapping[str, Any]) -> None:
        """Append a decision about a bar close (on the disk after the next `flush`)."""
        self.checked.add((row["symbol"], row["close"]))
        self._files[CHECKS].write(_line(row))
        self._is_dirty = True

    def log(self, event: str, **facts: Any) -> None:
        """Append a line to the log."""
        self._files[LOG].write(_line({"at": stamp(), "event": event, **facts}))
        self._is_dirty = True

    @property
    def is_flushed(self) -> bool:
        """Whether everything that was appended is on the disk."""
        return not self._is_dirty

    def flush(self) -> None:
        """Put decisions and log on the disk."""
        if not self._is_dirty:
            return
        for name in (CHECKS, LOG):
            self._files[name].flush()
            os.fsync(self._files[name].fileno())
        self._is_dirty = False

    def revisions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write what was replaced or refused while it ran, as a whole."""
        self._replace(self.path / REVISIONS, b"".join(_line(row) for row in rows))

    def result(self, value: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        self.flush()
        self._replace(self.path / RESULT, json_bytes(dict(value)))

    def _replace(self, path: Path, data: bytes) -> None:
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)

    def close(self) -> None:
        self.flush()
        for handle in self._files.values():
            handle.close()
        self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_whole(path: Path) -> IO[bytes]:
    """Open for appending, without what a kill left of a last line."""
    handle = path.open("a+b")
    handle.seek(0)
    whole = handle.read().rfind(b"\n") + 1
    handle.truncate(whole)
    handle.seek(0, os.SEEK_END)
    return handle


def _line(row: Mapping[str, Any]) -> bytes:
    return (json.dumps(row, allow_nan=False) + "\n").encode()
