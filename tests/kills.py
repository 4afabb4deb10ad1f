"""Killing a process at a moment counted in what has happened, never in seconds: a busy machine is only slower."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.002


def kill_when(process: subprocess.Popen[Any], happened: Callable[[], int], times: int) -> bool:
    """kill -9 once `happened` has grown by `times`; False where the process ended before by itself."""
    before = happened()
    while process.poll() is None:
        if happened() - before >= times:
            process.kill()
            process.wait()
            return True
        time.sleep(LOOK_SECONDS)
    return False


def files(folder: Path) -> Callable[[], int]:
    """How many files a folder holds at any depth, finished or not."""

    def count() -> int:
        found, left = 0, [folder]
        while left:
            try:
                entries = list(left.pop().iterdir())
            except (FileNotFoundError, NotADirectoryError):
                continue  # made by others, who may take it away while it is counted
            for entry in entries:
                if entry.is_dir():
                    left.append(entry)
                else:
                    found += 1
        return found

    return count
