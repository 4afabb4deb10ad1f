"""One process at a time on a folder, and whoever comes second learns who is there."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from extract.errors import Busy

PATIENCE_SECONDS = 1.0  # a reader that publishes a finished build holds the folder for moments, a build for longer
_held: dict[Path, IO[str]] = {}  # what this process holds: its own steps (build, then publish) do not wait for it


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Hold a build folder for the duration; Busy names the process that holds it, and since when (UTC)."""
    key = folder.resolve()
    if key in _held:
        yield
        return
    hold(folder)
    try:
        yield
    finally:
        _held.pop(key).close()


def hold(folder: Path) -> None:
    """Hold a build folder until the process ends; however it ends, the operating system lets go."""
    key = folder.resolve()
    if key in _held:
        return
    key.mkdir(parents=True, exist_ok=True)
    handle = (key / "_lock").open("a+")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _is_taken(handle):
        if time.monotonic() > deadline:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            handle.close()
            raise Busy(f"{holder} is building in {key}: wait for it, then run the same command again")
        time.sleep(0.05)
    handle.truncate(0)
    handle.write(f"process {os.getpid()} (since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC)")
    handle.flush()
    _held[key] = handle


def _is_taken(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
