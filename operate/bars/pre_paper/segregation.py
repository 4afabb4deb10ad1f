"""Pre-paper writes into its cache and its run folder, and nowhere else: the interpreter itself refuses the rest.

Every opening of a file, every removal, renaming and new folder passes Python's audit hooks. A hook cannot be taken out
again, so the confinement is a switch that the hook asks; it holds for the whole process while it is on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extract.errors import ForeshoreError

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = ("/dev/",)
_CHANGES = {  # audit event -> which of its arguments are paths that would change
    "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.mkdir": (0,), "os.truncate": (0,), "os.link": (1,),
    "os.symlink": (1,), "os.chmod": (0,), "os.utime": (0,), "shutil.rmtree": (0,), "shutil.move": (0, 1),
    "sqlite3.connect": (0,),
}  # fmt: skip

_allowed: tuple[Path, ...] | None = None
_hooked = False


class SegregationError(ForeshoreError, PermissionError):
    """Something tried to write outside the cache and the run folder."""


@contextmanager
def confined(*folders: Path) -> Iterator[None]:
    """While open, this process may write below `folders` only; SegregationError for anything else."""
    global _allowed, _hooked
    if not _hooked:
        sys.addaudithook(_watch)
        _hooked = True
    before, _allowed = _allowed, tuple(folder.resolve() for folder in folders)
    try:
        yield
    finally:
        _allowed = before


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _allowed is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITES:
            _demand(path)
    elif event in _CHANGES:
        for position in _CHANGES[event]:
            if position < len(arguments):
                _demand(arguments[position])


def _demand(path: Any) -> None:
    if isinstance(path, int) or path is None:
        return  # an open descriptor: opening it was judged already
    text = os.fsdecode(path)
    if text.startswith(_DEVICES) or text in ("", ":memory:"):
        return
    target = Path(text.removeprefix("file:").split("?")[0] if text.startswith("file:") else text).resolve()
    if not any(target.is_relative_to(folder) for folder in _allowed or ()):
        raise SegregationError(f"pre-paper may not write {target}: only its cache and its run folder")
