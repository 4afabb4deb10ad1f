"""Publications in an object store or a shared folder: who builds a wing puts it there, who only reads takes it.

Under `[storage] published_url`:

    wings/<unit>/<id>/...             parquet of one unit, written once, as under `<root>/published`
    publications/<unit>/<name>.json   what stood from the moment in its name on: the unit's folder, its files' SHA-256

A unit stands by its newest record, written after its files: machines that build different wings do not meet. A machine
that has built nothing takes what stands there when it is asked something; each file crosses once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from extract.errors import StorageError
from extract.store import file_system, is_remote, refusal
from operate.shelf import Assembled, Published, Shelf, is_id, publication_age_days, published_at, put_up

THREADS = 4


def push(shelf: Shelf, url: str, keep_days: float) -> int:
    """Put the units of the present publication there; returns how many files crossed. Errors: StorageError."""
    file = shelf.current_file()
    assert file is not None, "nothing is published"
    name, units, assembled, crossed = file.parent.name, shelf.units(), shelf.assembled(), 0
    with _Store(url) as store:
        names = store.names()
        for unit, published in units.items():
            newest = max(names.get(unit, ()), default=None)
            if newest is not None and store.record(unit, newest)["published"] == _plain(published):
                continue
            files = _files(shelf.root / published.folder)
            crossed += store.put(shelf.root / published.folder, _folder(published), files)
            parts = {view: [part for of, part in all_ if of == unit] for view, all_ in assembled.items()}
            store.write(unit, name, {"published": _plain(published), "files": files, "assembled": parts})
        store.prune(keep_days)
    return crossed


def pull(shelf: Shelf, url: str, moment: datetime | None = None) -> Path | None:
    """Take what stands there (at a moment: stood), where it is not here. The file of views over it, None where nothing
    did; what stands now becomes what readers here get. Errors: StorageError.
    """
    with _Store(url) as store:
        chosen = {
            unit: max(known)
            for unit, names in store.names().items()
            if (known := [name for name in names if moment is None or published_at(name) <= moment])
        }
        if not chosen:
            return None
        name = max(chosen.values())  # since the newest of them, all of them have stood
        if name in shelf.kept() and (moment is not None or _is_current(shelf, name)):
            return shelf.at(name) if moment is not None else shelf.current_file()
        units: dict[str, Published] = {}
        assembled: Assembled = defaultdict(list)
        for unit, newest in chosen.items():
            record = store.record(unit, newest)
            units[unit] = _published(record["published"], shelf.root)
            store.take(_folder(units[unit]), record["files"], shelf.root / units[unit].folder)
            for view, parts in record["assembled"].items():
                assembled[view] += [(unit, part) for part in parts]
    return put_up(shelf, units, assembled, name, is_current=moment is None)


def _is_current(shelf: Shelf, name: str) -> bool:
    file = shelf.current_file()
    return file is not None and file.parent.name == name


class _Store:
    """The place behind a URL. Inside `with`, what it says no to becomes a StorageError without its text."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, path = file_system(url)
        self.path = path.rstrip("/")

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StorageError):
            return
        told = refusal(error)
        if told is None and isinstance(error, OSError):
            told = f"{type(error).__name__}: {error.strerror or error}"
        if told is not None:
            raise StorageError(f"publications at {self.url}: {told}") from None

    def names(self) -> dict[str, list[str]]:
        """Names of the records of each unit, oldest first."""
        found: dict[str, list[str]] = defaultdict(list)
        place = f"{self.path}/publications"
        if self.fs.exists(place):
            for path in self.fs.find(place):
                inner = PurePosixPath(path)
                if inner.suffix == ".json" and is_id(inner.stem):
                    found[inner.parent.name].append(inner.stem)
        return {unit: sorted(names) for unit, names in found.items()}

    def record(self, unit: str, name: str) -> Any:
        try:
            return json.loads(self.fs.cat_file(self._record(unit, name)))
        except ValueError:
            told = f"{self.url}/publications/{unit}/{name}.json is damaged"
            raise StorageError(f"{told}: delete it there, and run `foreshore build` where it is built") from None

    def write(self, unit: str, name: str, value: Any) -> None:
        self._make(self._record(unit, name))
        self.fs.pipe_file(self._record(unit, name), (json.dumps(value) + "\n").encode())

    def _record(self, unit: str, name: str) -> str:
        return f"{self.path}/publications/{unit}/{name}.json"

    def put(self, source: Path, folder: str, files: Mapping[str, Mapping[str, Any]]) -> int:
        """Copy a unit's files that are not there whole; returns how many."""

        def one(inner: str) -> int:
            target = f"{self.path}/{folder}/{inner}"
            if self.fs.exists(target) and self.fs.info(target)["size"] == files[inner]["bytes"]:
                return 0
            self._make(target)
            self.fs.put_file(str(source / inner), target)
            return 1

        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(one, files))

    def take(self, folder: str, files: Mapping[str, Mapping[str, Any]], target: Path) -> None:
        """Bring a unit's folder here, whole or not at all."""
        if target.is_dir():
            return
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)

        def one(inner: str) -> None:
            if ".." in PurePosixPath(inner).parts or PurePosixPath(inner).is_absolute():
                raise StorageError(f"{self.url} names a file that leaves its folder ({inner!r})")
            file = part / inner
            file.parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(f"{self.path}/{folder}/{inner}", str(file))
            if _sha256(file) != files[inner]["sha256"]:
                raise StorageError(
                    f"{self.url}/{folder}/{inner} is not as it was published: run `foreshore build` where it is built, "
                    "after deleting it there"
                )

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, files))
        part.rename(target)

    def prune(self, keep_days: float) -> None:
        """Delete records that are kept no longer, and units' folders that none of the others uses."""
        for unit, names in self.names().items():
            gone = [name for name, follower in pairwise(names) if publication_age_days(follower) > keep_days]
            if gone:
                used = {self._folder_of(unit, name) for name in names if name not in gone}
                for folder in {self._folder_of(unit, name) for name in gone} - used:
                    if self.fs.exists(f"{self.path}/{folder}"):
                        self.fs.rm(f"{self.path}/{folder}", recursive=True)
                for name in gone:
                    self.fs.rm_file(self._record(unit, name))

    def _folder_of(self, unit: str, name: str) -> str:
        return _folder(_published(self.record(unit, name)["published"], Path()))

    def _make(self, name: str) -> None:
        if not is_remote(self.url):
            self.fs.makedirs(str(PurePosixPath(name).parent), exist_ok=True)


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.rglob("*.parquet"))
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _folder(published: Published) -> str:
    """wings/<unit>/<id>"""
    return Path(published.folder).relative_to("published").as_posix()


def _plain(published: Published) -> dict[str, Any]:
    return {**vars(published), "published_at": published.published_at.astimezone(UTC).isoformat(), "root": ""}


def _published(values: Mapping[str, Any], root: Path) -> Published:
    made = Published(**{name: values.get(name) for name in Published.__dataclass_fields__})  # type: ignore[arg-type]
    parts = Path(made.folder).parts
    if parts[:2] != ("published", "wings") or len(parts) != 4 or ".." in parts:
        raise StorageError(f"a publication names the folder {made.folder!r}, which is none of its own")
    return replace(made, root=str(root), published_at=datetime.fromisoformat(str(made.published_at)))
