"""A durable log: JSON lines, one heartbeat per unit of work, on disk before the next unit starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class DurableLog:
    """Appends JSON lines to a file; every line is flushed to the disk, so a kill loses none that was written."""

    def __init__(self, path: Path, **context: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.context = path, context
        self._handle = path.open("a", encoding="utf-8")
        if _is_torn(path):
            self._handle.write("\n")  # a kill cut the last line off: the next one must not be glued to it

    def write(self, event: str, **facts: Any) -> None:
        self.write_all([{"event": event, **facts}])

    def write_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Several lines at the price of one: each as `write` would, on disk together."""
        at = datetime.now(UTC).isoformat()
        for event in events:
            self._handle.write(json.dumps({"at": at, **self.context, **event}, default=str) + "\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        self._handle.close()


def _is_torn(path: Path) -> bool:
    """Whether the file ends within a line."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def last_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """The newest lines of a durable log; a line cut off by a kill is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[-count:]:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
