"""The agents' own books: every action in order, written from what they meant to do, never read back from the chain."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass
class Books:
    """Rows of actions; block and timestamp are filled in when their block is mined. Big integers are text."""

    rows: list[Row] = field(default_factory=list)
    _settled: int = 0

    def note(self, protocol: str, kind: str, **facts: Any) -> None:
        self.rows.append({"block": None, "timestamp": None, "protocol": protocol, "kind": kind, **facts})

    def mined(self, block: int, timestamp: int) -> None:
        """Everything noted since the last block is in this one."""
        for row in self.rows[self._settled :]:
            row["block"], row["timestamp"] = block, timestamp
        self._settled = len(self.rows)

    def write(self, path: Path) -> None:
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
