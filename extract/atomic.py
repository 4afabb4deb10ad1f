"""A local file system whose files appear whole or not at all, as objects in an object store do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem


class AtomicLocalFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Local files appear whole or not at all, as objects in an object store do.

    dlt copies a file to its final name; killed in between it leaves an unreadable parquet there
    (measured), and one such file breaks every reader that globs the folder.
    """

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        part = f"{target}.part"
        super().cp_file(source, part, **kwargs)
        if Path(part).is_file():
            Path(part).replace(target)

    def put_file(self, path1: str, path2: str, callback: Any = None, **kwargs: Any) -> None:
        self.cp_file(path1, path2, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        part = f"{self._strip_protocol(path)}.part"
        super().pipe_file(part, value, mode=mode, **kwargs)
        Path(part).replace(self._strip_protocol(path))

    def write_text(self, path: str, value: str, encoding: str | None = None, **kwargs: Any) -> None:
        self.pipe_file(path, value.encode(encoding or "utf-8"))

    def makedirs(self, path: str, exist_ok: bool = True) -> None:
        super().makedirs(path, exist_ok=True)  # the folder may hold the empty typed files already


def use_atomic_files() -> None:
    """Have every local path that fsspec opens by its scheme, dlt's included, written so."""
    fsspec.register_implementation("file", AtomicLocalFileSystem, clobber=True)
    fsspec.register_implementation("local", AtomicLocalFileSystem, clobber=True)
