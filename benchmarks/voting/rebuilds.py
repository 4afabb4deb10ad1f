"""Builds that do not grow with the past: first and second dbt build of 12, 52 and 156 epochs x 60 gauges x 2 exchanges.

    python -m benchmarks.voting.rebuilds                      minutes: the first build of 156 epochs is the long one
    python -m benchmarks.voting.rebuilds --epochs 12 --json

The second build changes nothing. `emptied` is a third one without recommendations and replay, whose tables stand from
before: what lies between the two is what these models cost when all of it was decided already.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.voting.raw_voting import land_voting

ROOT = Path(__file__).parents[2]
DECIDING = ("forecast_quantiles", "vote_recommendations", "vote_backtest", "inside_bar_runs")


def build(folder: Path, *arguments: str) -> dict[str, Any]:
    """One dbt build over a lake: seconds of the command, and of the models that decide."""
    environment = {
        "FORESHORE_RAW": str(folder / "raw"),
        "FORESHORE_BUILD": str(folder / "build" / "foreshore.duckdb"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "dbt_logs"),
        "DO_NOT_TRACK": "1",
    }
    command = [str(Path(sys.executable).parent / "dbt"), "build", *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stdout.decode()[-2000:])
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    spent = {r["unique_id"].split(".")[-1]: r["execution_time"] for r in results}
    return {"seconds": seconds} | {name: spent[name] for name in DECIDING if name in spent}


def measured(epochs: int, gauges: int) -> list[dict[str, Any]]:
    """First, second and emptied build of so many epochs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{epochs} epochs: landing", file=sys.stderr, flush=True)
        land_voting(str(folder / "raw"), epochs, gauges)
        rows = []
        for label in ("first", "second"):
            print(f"{epochs} epochs: {label} build", file=sys.stderr, flush=True)
            rows.append({"epochs": epochs, "build": label} | build(folder))
        print(f"{epochs} epochs: without the deciding models", file=sys.stderr, flush=True)
        without = ["--exclude", "vote_recommendations", "vote_backtest"]
        rows.append({"epochs": epochs, "build": "emptied"} | build(folder, *without))
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, action="append", help="default 12, 52 and 156")
    parser.add_argument("--gauges", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    asked = parser.parse_args()
    rows = [row for epochs in asked.epochs or (12, 52, 156) for row in measured(epochs, asked.gauges)]
    if asked.json:
        print(json.dumps({"gauges": asked.gauges, "exchanges": 2, "rows": rows}))
        return
    print(f"{'epochs':>7} {'build':<8}{'seconds':>9}" + "".join(f"{name:>22}" for name in DECIDING))
    for row in rows:
        spent = "".join(f"{row[name]:>22.2f}" if name in row else f"{'':>22}" for name in DECIDING)
        print(f"{row['epochs']:>7} {row['build']:<8}{row['seconds']:>9.1f}{spent}")


if __name__ == "__main__":
    main()
