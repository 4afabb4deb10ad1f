"""Folders that work is done in and nobody misses: gone with the work, or with the next one where a kill left them."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, LOCK = "foreshore-work-", "_lock"
FRESH_SECONDS = 60.0


@contextmanager
def work_folder() -> Iterator[Path]:
    """A temporary folder. Those that killed processes left are cleared away: nobody holds their locks."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, (Path(name) / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield Path(name)


def _is_left(folder: Path) -> bool:
    """Whether nobody works in a folder. One that is a minute old has its lock; a newer one may be about to take it."""
    try:
        if time.time() - folder.stat().st_mtime < FRESH_SECONDS:
            return False
        with (folder / LOCK).open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:  # killed before it took its lock, or while its folder was cleared away
        return folder.is_dir()
    except OSError:  # held, or another user's
        return False
    return True
