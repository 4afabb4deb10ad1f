"""A recommendation from what is published: as a command of its own, and inside a process that runs already.

`python -m benchmarks.voting.recommend [--config data/world/foreshore.toml]` after `foreshore demo run`; with the world
up (`foreshore demo up`) the command's trial run is asked of a node. Processor seconds beside wall time: others share
the machine. No peer is known that answers the same question.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import arguments
from extract.config import load_config
from operate.voting.recommend import Asked, recommendations
from operate.warehouse import Warehouse

FORESHORE = Path(sys.executable).parent / "foreshore"


def command(config: str, *words: str) -> tuple[float, float]:
    """Processor and wall seconds of the command; raises where it fails."""
    started = time.perf_counter()
    ran = subprocess.Popen([FORESHORE, "recommend", "--config", config, "--no-save", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(ran.pid, 0)
    ran.returncode = os.waitstatus_to_exitcode(status)
    if ran.returncode:
        raise RuntimeError(f"foreshore recommend ended with {ran.returncode}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - started


def within(warehouse: Warehouse, asked: Asked) -> tuple[float, float]:
    """Processor and wall seconds of the same answer in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    recommendations(warehouse, asked)
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Run and print."""
    parser = arguments(__doc__ or "", rounds=9)
    parser.add_argument("--config", default="data/world/foreshore.toml")
    parser.add_argument("--window", default="T-5")
    options = parser.parse_args()
    warehouse, asked = Warehouse.of(load_config(options.config)), Asked(window=options.window)
    words = ("--window", options.window)
    contestants: dict[str, Callable[[], tuple[float, float]]] = {
        "command, with its trial run": lambda: command(options.config, *words),
        "command, --no-simulate": lambda: command(options.config, *words, "--no-simulate"),
        "inside a running process": lambda: within(warehouse, asked),
    }
    within(warehouse, asked)  # what a running process has behind it
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, run in contestants.items():
            found[name].append(run())
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("every exchange of the store: processor seconds median (least to most), wall seconds median (least to most)")
    for name, rows in found.items():
        cpu, wall = zip(*rows, strict=True)
        told = ", ".join(f"{statistics.median(x):.2f} ({min(x):.2f} to {max(x):.2f})" for x in (cpu, wall))
        print(f"{name:30}{told}")


if __name__ == "__main__":
    main()
