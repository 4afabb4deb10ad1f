"""The raw zone: what it is, what has been committed to it, reading that, and one extraction at a time.

`_dlt_loads` is the commit record: whoever reads the lake reads only files whose load id stands there.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import io
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from extract.atomic import use_atomic_files
from extract.config import Config
from extract.errors import Busy, StorageError
from extract.mirror import Mirror, Stored, stored
from extract.scratch import work_folder
from extract.store import file_system

FILES_TABLE = "extract_files"
FILES_SCHEMA = pa.schema(
    [
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
ORPHAN_SECONDS = 86_400.0  # no load of ours takes a day, no store's listing lags by one
NO_LOAD = "0"  # load id of the empty typed files that give every table its columns before its first row
STORE_FILE = "_store.json"  # what a store is: its layout's version, and whether its data are simulated
STORE_VERSION = 1

use_atomic_files()


class Lake:
    """The raw zone at a folder or an fsspec URL; `is_simulated` None takes the store for what it says it is."""

    def __init__(self, url: str, is_simulated: bool | None = None, mirror: Path | None = None) -> None:
        self.is_simulated = is_simulated
        self.fs, path = file_system(url)
        self.path = str(path).rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self.url = Path(self.path).as_uri() if self.is_local else url.rstrip("/")
        self.mirror = None if self.is_local else Mirror(self.fs, self.path, mirror or _mirror_for_now())
        self._seen: dict[str, Stored] = {}  # what the newest listings showed of an object store

    @classmethod
    def of(cls, config: Config) -> Lake:
        """The raw zone of a configuration; an object store's is read from a mirror under the storage root."""
        return cls(config.raw_url, config.is_simulated, mirror_folder(config.root, config.raw_url))

    def files(self, folder: str = "") -> list[Stored]:
        """Files directly in a table's folder (or, without one, in every table's), as they are this moment."""
        if self.mirror is not None:
            found = self.fs.find(self.join(folder) if folder else self.path, detail=True).values()
            listed = [stored(info) for info in found]
            self._seen |= {file.name: file for file in listed}
            depth = len(PurePosixPath(self.path).parts) + 2
            return [file for file in listed if len(PurePosixPath(file.name).parts) == depth]
        tables = [self.join(folder)] if folder else self.fs.ls(self.path, detail=False)
        return [
            stored(info)
            for table in tables
            if self.fs.isdir(table)
            for info in self.fs.ls(table, detail=True)
            if info["type"] == "file"
        ]

    def names(self, folder: str) -> list[str]:
        """Names of the files in a table's folder; none where it is not there."""
        if self.mirror is not None:
            return [file.name for file in self.files(folder)]
        return list(self.fs.ls(self.join(folder), detail=False)) if self.fs.exists(self.join(folder)) else []

    def bring(self, names: Iterable[str]) -> None:
        """Have these listed files at hand: those of an object store are copied side by side."""
        if self.mirror is not None:
            self.mirror.bring(self._seen[name] for name in names)

    def open(self, name: str) -> IO[bytes]:
        """One listed file, from the mirror where the raw zone is an object store."""
        if self.mirror is None:
            return self.fs.open(name, "rb")  # type: ignore[no-any-return]
        self.bring([name])
        return self.mirror.copy_of(name).open("rb")

    def make_folder(self, folder: str) -> None:
        """Folders are made where there are such things: in an object store the call would make a bucket."""
        if self.is_local:
            self.fs.makedirs(folder, exist_ok=True)

    def claim(self) -> None:
        """Say what this store is, or check that it is what the configuration takes it for: StorageError where not."""
        target = self.join(STORE_FILE)
        if self.fs.exists(target):
            self.check()
            return
        self.make_folder(self.path)
        told = {"version": STORE_VERSION, "is_simulated": bool(self.is_simulated)}
        self.fs.pipe_file(target, (json.dumps(told) + "\n").encode())

    def check(self) -> None:
        """StorageError where the store is of another version, or of another kind than the configuration."""
        told = self._told()
        if told is None:
            return
        if told["version"] != STORE_VERSION:
            raise StorageError(
                f"{self.path} was written by a Foreshore with store version {told['version']}, this one reads "
                f"{STORE_VERSION}: use the release that wrote it, or extract anew into another [storage] root"
            )
        if self.is_simulated is not None and told["is_simulated"] != self.is_simulated:
            words = {True: "the embedded world's", False: "real"}
            raise StorageError(
                f"{self.path} holds {words[told['is_simulated']]} data and this configuration is "
                f"{words[self.is_simulated]}: they never share a store. Give one of them another [storage] root"
            )

    def _told(self) -> dict[str, Any] | None:
        """What the store says of itself; None where it says nothing yet. StorageError where that is damaged."""
        target = self.join(STORE_FILE)
        if not self.fs.exists(target):
            return None
        try:
            told = json.loads(self.fs.cat_file(target))
            return {"version": told["version"], "is_simulated": bool(told["is_simulated"])}
        except (ValueError, KeyError, TypeError):
            raise StorageError(
                f"{target} is damaged: it says which data a store holds. Write "
                f'{{"version": {STORE_VERSION}, "is_simulated": false}} there (true for the embedded world)'
            ) from None

    def holds_simulated(self) -> bool | None:
        """Whether the store's rows come from the embedded world, by its own word; None where it says nothing yet."""
        told = self._told()
        return None if told is None else bool(told["is_simulated"])

    def join(self, *parts: str) -> str:
        return str(PurePosixPath(self.path, *parts))

    def commit_records(self) -> list[dict[str, Any]]:
        """Records of the loads that count, oldest first: committed, and not replaced by a compacted one."""
        done = self._done()
        gone = {name for record in done for name in record.get("replaces") or ()}
        return [record for record in done if record["load_id"] not in gone]

    def committed_loads(self) -> list[str]:
        """Load ids with a commit record that counts, oldest first."""
        return [str(record["load_id"]) for record in self.commit_records()]

    def replaced_loads(self) -> set[str]:
        """Loads that a compacted one stands for; their files, where still there, are read by nobody."""
        return {str(name) for record in self._done() for name in record.get("replaces") or ()}

    def _done(self) -> list[dict[str, Any]]:
        names = [name for name in self.names("_dlt_loads") if name.endswith(".jsonl")]
        self.bring(names)
        records = []
        for name in names:
            with self.open(name) as handle:
                records += _records(handle.read())
        done = [record for record in records if record["status"] == 0 and record["load_id"] != NO_LOAD]
        return sorted(done, key=lambda record: (record["inserted_at"], record["load_id"]))

    def for_reading(self) -> Lake:
        """A folder that holds what an object store has committed by now: dbt reads that, and nobody else changes it.

        Call it while holding the lock of builds. Errors: StorageError where the store cannot be read.
        """
        assert self.mirror is not None, "a folder is read where it is"
        files, committed = self.files(), set(self.committed_loads())
        records = [f for f in files if PurePosixPath(f.name).parent.name == "_dlt_loads"]
        rows = [f for f in files if f.name.endswith(".parquet") and load_id_of(f.name) in committed]
        self.mirror.bring([*rows, *records, *self._listed(STORE_FILE)])
        return Lake(str(self.mirror.show(rows, [*self._listed(STORE_FILE), *records], NO_LOAD)))

    def _listed(self, name: str) -> list[Stored]:
        return [stored(self.fs.info(self.join(name)))] if self.fs.exists(self.join(name)) else []

    def has_landed(self) -> bool:
        """Whether anything was ever declared or landed here."""
        return bool(self.fs.exists(self.join("_dlt_loads")))

    def read_committed(self, table: str, schema: pa.Schema, without: Collection[str] = ()) -> pa.Table:
        """All committed rows of a (small) table with a leading `load_id`, in order of commit; `without` some loads."""
        order = {load_id: n for n, load_id in enumerate(self.committed_loads()) if load_id not in without}
        names = self.names(table)
        files = [(load_id_of(n), n) for n in names if n.endswith(".parquet") and load_id_of(n) in order]
        files.sort(key=lambda pair: order[pair[0]])
        self.bring(name for _, name in files)

        def read(pair: tuple[str, str]) -> pa.Table:
            rows = self._read_file(pair[1], schema)
            return rows.add_column(0, "load_id", pa.array([pair[0]] * rows.num_rows, pa.string()))

        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(read, files))
        empty = schema.empty_table().add_column(0, "load_id", pa.array([], pa.string()))
        return pa.concat_tables([empty, *parts])

    def read_load(self, table: str, load_id: str, schema: pa.Schema) -> pa.Table:
        """Rows of a table that one committed load holds (a table of many days need not be read for one of them)."""
        names = self.names(table)
        mine = sorted(n for n in names if n.endswith(".parquet") and load_id_of(n) == load_id)
        return pa.concat_tables([schema.empty_table(), *(self._read_file(name, schema) for name in mine)])

    def _read_file(self, name: str, schema: pa.Schema) -> pa.Table:
        try:
            with self.open(name) as handle:
                file = pq.ParquetFile(handle)
                landed = [column for column in schema.names if column in file.schema_arrow.names]
                return _as_declared(file.read(columns=landed), schema)
        except (pa.ArrowInvalid, KeyError) as error:
            raise StorageError(
                f"{name} cannot be read as Foreshore landed it ({type(error).__name__}): it was edited or damaged. "
                "Run `foreshore repair`: its partitions are fetched anew."
            ) from None

    def declare(self, schemas: Mapping[str, pa.Schema]) -> None:
        """Give every table one empty typed file, so that readers find columns before the first rows land."""
        self.claim()
        for table, schema in {**schemas, FILES_TABLE: FILES_SCHEMA}.items():
            target = self.join(table, f"{NO_LOAD}.empty.parquet")
            if self.fs.exists(target) and self._read_schema(target).equals(schema):
                continue
            self.make_folder(self.join(table))
            made = io.BytesIO()
            pq.write_table(schema.empty_table(), made)
            self.fs.pipe_file(target, made.getvalue())
        marker = self.join("_dlt_loads", "none.jsonl")
        if not self.fs.exists(marker):
            self.make_folder(self.join("_dlt_loads"))
            row = {"load_id": NO_LOAD, "schema_name": "none", "status": 0, "inserted_at": "1970-01-01T00:00:00+00:00"}
            self.fs.pipe_file(marker, (json.dumps(row) + "\n").encode())

    def _read_schema(self, name: str) -> pa.Schema:
        return pq.read_schema(self.fs.open(name)).remove_metadata()

    def sweep(self) -> int:
        """Delete files of loads that never committed (a killed attempt); returns how many.

        Call it only while holding the lock: a running load is not committed yet either. In an object store others may
        be landing, and listings may lag: only what has been there for a day is taken for an orphan.
        """
        if not self.fs.exists(self.path):
            return 0
        files = self.files()  # before the commit records: what is committed in between is kept
        keep = {*self.committed_loads(), NO_LOAD}
        oldest = float("inf") if self.is_local else time.time() - ORPHAN_SECONDS
        dropped = 0
        for file in files:
            is_part = file.name.endswith(".part")  # of a commit record, too
            is_rows = file.name.endswith(".parquet") and not PurePosixPath(file.name).parent.name.startswith("_")
            is_orphan = is_part or (is_rows and load_id_of(file.name) not in keep)
            if is_orphan and file.changed_at <= oldest:
                self.fs.rm_file(file.name)
                dropped += 1
        self._forget_replaced()
        return dropped

    def _forget_replaced(self) -> None:
        """Delete commit records of replaced loads of which no file is left: who replaced them says they were there."""
        if not (replaced := self.replaced_loads()):
            return
        left = {load_id_of(file.name) for file in self.files() if file.name.endswith(".parquet")}
        for name in self.names("_dlt_loads"):
            load = PurePosixPath(name).name.removesuffix(".jsonl").rpartition("__")[2]
            if load in replaced and load not in left:
                self.fs.rm_file(name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One extraction at a time per folder, or per object store and machine; Busy names who holds it.

        Extractions of several machines into one object store rely on idempotence: each lands what it fetched, and the
        newest load of a partition counts.
        """
        folder = Path(self.path) if self.mirror is None else self.mirror.folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "_lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise Busy(
                    f"another extraction (process {holder}) is writing to {self.path}: "
                    "wait for it, or stop it; what it has committed stays."
                ) from None
            _note_holder(handle)
            self.claim()
            yield


def _records(text: bytes) -> list[dict[str, Any]]:
    """Commit records; one that is damaged commits nothing."""
    try:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return []
    return [row for row in found if isinstance(row, dict) and {"status", "load_id", "inserted_at"} <= row.keys()]


def mirror_folder(root: Path, url: str) -> Path:
    """Where the mirror of an object store's raw zone stands."""
    return root / "mirror" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:12]


def _mirror_for_now() -> Path:
    """A mirror for this process, which goes with it."""
    with ExitStack() as stack:
        folder = stack.enter_context(work_folder())
        atexit.register(stack.pop_all().close)
    return folder


def _note_holder(handle: IO[str]) -> None:
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()


def load_id_of(name: str) -> str:
    """The load id in a landed file's name (`<seconds>.<fraction>.<file id>.parquet`)."""
    return PurePosixPath(name).name.rsplit(".", 2)[0]


def _as_declared(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows in the columns of `schema`: a column that may be null, and came into the table after they landed, is null.

    Errors: KeyError where a column is missing that must not be null, pa.ArrowInvalid where types do not fit.
    """
    columns = [
        pa.nulls(rows.num_rows, field.type)
        if field.nullable and field.name not in rows.column_names
        else rows[field.name]
        for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)
