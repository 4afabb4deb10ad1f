"""Constants as data: the dbt seeds, read by Python from the same files that SQL reads."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from extract.errors import ConfigError

WEEK = 604_800  # seconds; epochs of every ve(3,3) exchange start at multiples of it (Thursday 00:00 UTC)


@dataclass(frozen=True)
class DecisionWindow:
    """One row of `seeds/voting/decision_windows.csv`.

    `anchor` is what the target counts back from: the calendar `boundary`, or the `last_vote` (the last block in
    which a vote can land: such a window reads the state of its parent). `reads` is `own` (the window's own block) or
    `final` (the control). `scope` is `every` exchange, or those whose voting `closes` before the boundary.
    """

    decision_window: str
    seconds_before: int
    anchor: str
    reads: str
    role: str
    scope: str
    position: int


def read_seed(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of a seed as text; ConfigError when it is missing."""
    path = folder / f"{name}.csv"
    try:
        with path.open(newline="") as handle:
            return list(csv.DictReader(handle))
    except FileNotFoundError:
        raise ConfigError(f"seed {path} is missing: run from the repository root") from None


def decision_windows(folder: Path) -> list[DecisionWindow]:
    """The decision windows in order of time."""
    rows = [
        DecisionWindow(
            decision_window=row["decision_window"],
            seconds_before=int(row["seconds_before"]),
            anchor=row["anchor"],
            reads=row["reads"],
            role=row["role"],
            scope=row["scope"],
            position=int(row["position"]),
        )
        for row in read_seed(folder, "voting/decision_windows")
    ]
    return sorted(rows, key=lambda window: window.position)


def threshold(folder: Path, name: str) -> float:
    """A constant of the `thresholds` seed; ConfigError when it has none of that name."""
    for row in read_seed(folder, "thresholds"):
        if row["threshold"] == name:
            return float(row["value"])
    raise ConfigError(f"seed {folder}/thresholds.csv has no {name}: restore its row")
