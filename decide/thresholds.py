"""The `thresholds` seed, which every wing reads: rows as they stand in the warehouse in, numbers by name out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def thresholds(rows: Rows) -> dict[str, float]:
    """The `thresholds` seed by name."""
    return {str(row["threshold"]): float(row["value"]) for row in rows}
