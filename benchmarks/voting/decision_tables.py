"""What decisions read, made by hand: seeds as dbt loads them and rows of `int_voter_windows`."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

SEEDS = Path(__file__).parents[2] / "seeds"
WINDOW_SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("protocol", "voter_id", "decision_window", "own_votes_status", "failed_gates")
        ),
        *((name, pa.int64()) for name in ("epoch", "voter_position", "window_position", "decision_block")),
        *((name, pa.bool_()) for name in ("is_control", "is_exempt", "votes_reset_each_epoch")),
        ("voting_power", pa.float64()),
        ("vote_delay_seconds", pa.int64()),
        *((name, pa.timestamp("us", "UTC")) for name in ("voted_at", "decision_at")),
    ]
)


def window_row(position: int, decision_at: datetime, power: float | None, status: str) -> dict[str, Any]:
    """All but the keys of a window of the first voter of an exchange whose votes restart."""
    return {
        "voter_position": 1,
        "window_position": position,
        "is_control": False,
        "is_exempt": False,
        "votes_reset_each_epoch": True,
        "own_votes_status": status,
        "failed_gates": None,
        "voting_power": power,
        "vote_delay_seconds": None,
        "decision_block": position,
        "voted_at": None,
        "decision_at": decision_at,
    }


def seed_rows(name: str) -> list[dict[str, Any]]:
    """A seed as dbt loads it: empty is null, numbers and booleans are typed."""
    with next(SEEDS.rglob(f"{name}.csv")).open(newline="") as handle:
        return [{key: _typed(value) for key, value in row.items()} for row in csv.DictReader(handle)]


def _typed(text: str) -> Any:
    if text in ("", "true", "false"):
        return None if not text else text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
