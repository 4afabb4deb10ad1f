"""A load package: parquet files, hashed, carried by dlt into the lake. Who lands loads dlt, and nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.destinations import filesystem

from extract.environment import environment
from extract.errors import StorageError
from extract.lake import FILES_SCHEMA, FILES_TABLE, Lake

# No telemetry, no chatter; dlt reads these at run time only from the environment
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
LAYOUT = "{table_name}/{load_id}.{file_id}.{ext}"


def run_package(lake: Lake, source: str, tables: Mapping[str, pa.Table], folder: Path) -> str:
    """Carry `tables` and the list of their files into the lake, working in `folder`; returns the load id.

    Errors: StorageError where the load did not complete; what dlt raises.
    """
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
    with environment(QUIET):
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


def _parent(url: str) -> str:
    return url.rsplit("/", 1)[0]


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]
