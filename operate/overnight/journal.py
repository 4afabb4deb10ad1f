"""What a night leaves on disk: a heartbeat while it runs, its result when it ended, logs that do not grow for ever."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HEARTBEAT, RESULT = "heartbeat.json", "last.json"


def note(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Replace a small file whole, with the UTC time in `at`: a reader or a kill never meets half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{name}.part"
    with part.open("w", encoding="utf-8") as handle:
        handle.write(json.dumps({"at": datetime.now(UTC).isoformat(), **facts}) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(folder / name)


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """What was noted; None where nothing was, or it was damaged since."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        datetime.fromisoformat(found["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(found)


def age_hours(noted: Mapping[str, Any], now: datetime) -> float:
    """Hours since something was noted (`now` in UTC)."""
    return (now - datetime.fromisoformat(noted["at"])).total_seconds() / 3600


def rotate(path: Path, megabytes: float, kept: int) -> None:
    """Set a log aside as `.1` (older ones as `.2`, ...) once it is longer than that; the oldest beyond `kept` go."""
    if not path.exists() or path.stat().st_size < megabytes * 1e6:
        return
    for number in range(kept, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists() and number == kept:
            older.unlink()
        elif older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def keep_newest(folder: Path, pattern: str, kept: int) -> None:
    """Delete the oldest files of a pattern beyond `kept`; their names sort by time."""
    for path in sorted(folder.glob(pattern))[:-kept]:
        path.unlink(missing_ok=True)
