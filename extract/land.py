"""One way to land: a load package holds the rows of partitions and their ledger rows, or nothing of them is seen.

The rows are written as parquet once, hashed, and carried by dlt into the lake. Every attempt works
in a throw-away folder, because a dlt pipeline that was killed would first finish its old package and
extract nothing new (measured on dlt 1.31); what can be fetched again need not be resumed by dlt.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

import pyarrow as pa

from extract.errors import StorageError
from extract.lake import Lake
from extract.ledger import declare
from extract.scratch import work_folder
from extract.store import refusal


def land(lake: Lake, source: str, tables: Mapping[str, pa.Table]) -> str:
    """Commit `tables` (rows and their ledger rows) as one load package; returns its load id.

    Raises StorageError when the lake cannot take it (no space, no permission); nothing is visible then.
    """
    with work_folder() as folder:
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


def land_alone(lake: Lake, source: str, schemas: Mapping[str, pa.Schema], tables: Mapping[str, pa.Table]) -> str:
    """`land` as all that is done: under the lake's lock, its tables declared, what a killed attempt left swept away."""
    with lake.lock():
        declare(lake, schemas)
        lake.sweep()
        return land(lake, source, tables)


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's refusal inside a chain of wrapped exceptions, or none."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error, seen = error.__cause__, seen + 1
    return None
