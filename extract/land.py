"""One way to land: a load package holds the rows of partitions and their ledger rows, or nothing of them is seen.

The rows are written as parquet once, hashed, and carried by dlt into the lake. Every attempt works
in a throw-away folder, because a dlt pipeline that was killed would first finish its old package and
extract nothing new (measured on dlt 1.31); what can be fetched again need not be resumed by dlt.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.destinations import filesystem

from extract.errors import StorageError
from extract.lake import FILES_SCHEMA, FILES_TABLE, Lake
from extract.store import refusal

LAYOUT = "{table_name}/{load_id}.{file_id}.{ext}"


def land(lake: Lake, source: str, tables: Mapping[str, pa.Table]) -> str:
    """Commit `tables` (rows and their ledger rows) as one load package; returns its load id.

    Raises StorageError when the lake cannot take it (no space, no permission); nothing is visible then.
    """
    with tempfile.TemporaryDirectory(prefix="foreshore-") as folder:
        try:
            return _run_package(lake, source, tables, Path(folder))
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


def _run_package(lake: Lake, source: str, tables: Mapping[str, pa.Table], folder: Path) -> str:
    files = {name: _write(folder, name, table) for name, table in tables.items()}
    listing = pa.Table.from_pylist(
        [
            {"table_name": name, "rows": tables[name].num_rows, "bytes": path.stat().st_size, "sha256": _sha256(path)}
            for name, path in files.items()
        ],
        schema=FILES_SCHEMA,
    )
    contents = {**tables, FILES_TABLE: listing}
    files[FILES_TABLE] = _write(folder, FILES_TABLE, listing)
    with _dlt_environment():
        pipeline = dlt.pipeline(
            pipeline_name=source,
            destination=filesystem(bucket_url=_parent(lake.url), layout=LAYOUT),
            dataset_name=_name(lake.url),
            pipelines_dir=str(folder / "dlt"),
        )
        info = pipeline.run([_resource(name, path, contents[name]) for name, path in files.items()])
    info.raise_on_failed_jobs()
    if pipeline.has_pending_data or len(info.loads_ids) != 1:
        raise StorageError(f"the load of {source} did not complete: run the same command again")
    return str(info.loads_ids[0])


def _resource(name: str, path: Path, table: pa.Table) -> Any:
    hints = dlt.mark.make_hints(columns=list(py_arrow_to_table_schema_columns(table.schema).values()))
    item = dlt.mark.with_file_import(str(path), "parquet", table.num_rows, hints=hints)
    return dlt.resource([item], name=name, write_disposition="append")


def _write(folder: Path, name: str, table: pa.Table) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(table, path, compression="zstd")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def _dlt_environment() -> Iterator[None]:
    """No telemetry, no chatter; dlt reads these at run time only from the environment."""
    wanted = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            with suppress(KeyError):
                os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's refusal inside a chain of wrapped exceptions, or none."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error, seen = error.__cause__, seen + 1
    return None


def _parent(url: str) -> str:
    return url.rsplit("/", 1)[0]


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]
