"""The voting line end to end on the embedded world: extraction at 3 and 12 epochs (seconds, peak memory), dbt build.

    python -m benchmarks.voting.line [--json]

Peak memory is the kernel's high-water mark of the extracting process alone; the world runs in another one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import simulate
from operate.worlds import world_config
from simulate import voting as voting_world

ROOT = Path(__file__).parents[2]
EPOCHS = (3, 12)


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak resident MB of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def extraction(world: simulate.RunningWorld, folder: Path, epochs: int) -> dict[str, Any]:
    """One extraction of `epochs` epochs into an empty lake."""
    folder.mkdir(parents=True)
    storage = f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nseeds = "{ROOT}/seeds"\n'
    (folder / "foreshore.toml").write_text(storage + world_config(world.info))
    command = [sys.executable, "-m", "operate.cli", "extract", "voting", "--epochs", str(epochs)]
    seconds, peak = measured(command, {"FORESHORE_CONFIG": str(folder / "foreshore.toml")})
    return {"step": f"extract {epochs} epochs", "seconds": round(seconds, 1), "peak_mb": round(peak)}


def build(folder: Path) -> tuple[dict[str, Any], list[tuple[str, float]]]:
    """dbt build over a lake, and the nodes it spent most time on."""
    target = folder / "target"
    (folder / "build").mkdir()
    environment = {
        "FORESHORE_RAW": str(folder / "raw"),
        "FORESHORE_BUILD": str(folder / "build" / "foreshore.duckdb"),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(folder / "dbt_logs"),
    }
    seconds, peak = measured([str(Path(sys.executable).parent / "dbt"), "build"], environment)
    results = json.loads((target / "run_results.json").read_text())["results"]
    spent = sorted(((r["unique_id"].split(".", 2)[2], r["execution_time"]) for r in results), key=lambda r: -r[1])
    row = {"step": f"dbt build ({len(results)} nodes)", "seconds": round(seconds, 1), "peak_mb": round(peak)}
    return row | {"in_nodes_seconds": round(sum(s for _, s in spent), 1)}, spent[:5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        with voting_world.running(folder / "world", epochs=max(EPOCHS), gauges=60, voters=40) as world:
            rows: list[dict[str, Any]] = [
                {"step": "world", "seconds": round(time.perf_counter() - started, 1), "peak_mb": None}
            ]
            rows += [extraction(world, folder / str(epochs), epochs) for epochs in EPOCHS]
        built, slowest = build(folder / str(max(EPOCHS)))
        rows.append(built)
    if as_json:
        print(json.dumps({"rows": rows, "slowest_nodes": slowest}))
        return
    for row in rows:
        print(f"{row['step']:<28} {row['seconds']:>7.1f} s  {row['peak_mb'] or '':>6} MB")
    print("slowest nodes: " + ", ".join(f"{node} {seconds:.2f} s" for node, seconds in slowest))
    print(f"own peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
