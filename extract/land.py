"""One way to land: a load package holds the rows of partitions and their ledger rows, or nothing of them is seen.

The rows are written as parquet once, hashed, and carried by dlt into the lake. Every attempt works
in a throw-away folder, because a dlt pipeline that was killed would first finish its old package and
extract nothing new (measured on dlt 1.31); what can be fetched again need not be resumed by dlt.
"""

from __future__ import annotations

import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from extract.errors import StorageError
from extract.lake import Lake
from extract.store import refusal

PREFIX, LOCK = "foreshore-load-", "_lock"
FRESH_SECONDS = 60.0


def land(lake: Lake, source: str, tables: Mapping[str, pa.Table]) -> str:
    """Commit `tables` (rows and their ledger rows) as one load package; returns its load id.

    Raises StorageError when the lake cannot take it (no space, no permission); nothing is visible then.
    """
    with _work_folder() as folder:
        try:
            from extract.package import run_package  # dlt takes half a second to import; most commands land nothing

            return run_package(lake, source, tables, folder)
        except Exception as error:
            if told := refusal(error):
                raise StorageError(f"{told} (nothing of this load is visible)") from None
            cause = _os_error(error)
            if cause is None:
                raise
            advice = (
                "free some space" if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "check the folder"
            )
            raise StorageError(
                f"cannot write to {lake.path}: {cause.strerror} ({advice}, then run the same command again; "
                "nothing of this load is visible)."
            ) from None


@contextmanager
def _work_folder() -> Iterator[Path]:
    """A folder for one attempt. Those that killed processes left are cleared away: their lock is nobody's any more."""
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
    except OSError:  # held, another user's, or gone
        return False
    return True


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's refusal inside a chain of wrapped exceptions, or none."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error, seen = error.__cause__, seen + 1
    return None
