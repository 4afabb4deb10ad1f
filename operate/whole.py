"""Files and folders that are made beside their place and then take it: whoever looks sees the old or the new, whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into; at the end it stands at `folder`, whatever stood there is gone.

    What killed processes left of the same work is cleared away first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_away(folder)
    made, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("part", "old"))
    made.mkdir()
    try:
        yield made
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def whole_file(path: Path, content: str | bytes) -> None:
    """Write a file (text as UTF-8), or leave the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_away(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def _clear_away(place: Path) -> None:
    """Leftovers of processes that live no more; what one of them had moved aside takes its place again."""
    named = re.compile(re.escape(f".{place.name}.") + r"(\d+)\.(part|old)")
    for path in place.parent.iterdir():
        found = named.fullmatch(path.name)
        if found is None or (psutil.pid_exists(int(found[1])) and int(found[1]) != os.getpid()):
            continue
        if found[2] == "old" and not place.exists():
            path.rename(place)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
