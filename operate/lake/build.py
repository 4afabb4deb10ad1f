"""A unit built and tested in the lake by dbt, then published where its tests passed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from operate.lake.ask import published
from operate.lake.catalog import LakeError, attached, held
from operate.lake.publish import publish
from operate.stamp import UNITS

WINGS = tuple(unit for unit in UNITS if unit != "door")
ASSEMBLED = "config.meta.assembled:true"  # views over several units: readers get them as such


def build(unit: str) -> int:
    """0, or 1 where something did not pass. Errors: LakeError where another builds it, or no door is there."""
    others = [*(f"{of}{wing}" for wing in WINGS for of in ("tag:", "path:tests/data/")), ASSEMBLED]
    chosen = ["--select", f"tag:{unit}"] if unit in WINGS else ["--exclude", *others]
    # only tests whose every table is this unit's: another builder writes the rest
    tests = "buildable" if unit in WINGS else "cautious"
    command = ["build", "--target", "lake", *chosen, "--indirect-selection", tests]
    with held(unit):
        if unit in WINGS and not _has_door():
            raise LakeError(f"{unit} reads what the door has, and nobody has built that yet: `build door` first")
        done = subprocess.run([str(Path(sys.executable).parent / "dbt"), *command], check=False)
        return 1 if done.returncode or publish(unit) is None else 0


def _has_door() -> bool:
    try:
        with attached(read_only=True) as connection:
            return any(one["unit"] == "door" for one in published(connection, datetime.now(UTC)))
    except duckdb.InvalidInputException:  # a catalog without a lake; two builders that both made one left it unreadable
        return False
