"""What a store of years costs: raw data of a tenth, a third and the whole of a real size, built, published and asked.

    python -m benchmarks.growth                                every wing at a tenth
    python -m benchmarks.growth --wing voting --share 0.1 --share 0.333 --share 1
    python -m benchmarks.growth --folder /big/disk --json

The whole: 156 epochs x 400 gauges x 2 exchanges; 96 CSUs x 3 years; 500 symbols x 3 years of M5; 1,000 markets a day x
3 years. A share is one of time: so many epochs, days, sessions, runs. Rows are generated in the store's own format.
Steps, each a process of its own: landing, the first build of the wing's models and tests, publication (the first `sql`
after it), `sql`, `status`, and a second build with nothing changed. `cpu` is processor time, which other jobs on the
machine hardly lengthen; peak memory is the kernel's high-water mark of that process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars.raw_bars import land_bars
from benchmarks.common import FOLDER
from benchmarks.lending.panel import lake as land_lending
from benchmarks.markets.raw_markets import land_markets
from benchmarks.voting.raw_voting import land_voting

ROOT = FOLDER.parent
DBT = str(Path(sys.executable).parent / "dbt")
CLI = (sys.executable, "-m", "operate.cli")
LAND = (sys.executable, "-m", "benchmarks.growth")


@dataclass(frozen=True)
class Wing:
    """How much of it is the whole, what that is counted in, how so much is landed, and a question about it."""

    whole: int
    unit: str
    land: Callable[[Path, int], object]
    question: str


WINGS = {
    "voting": Wing(
        156,
        "epochs",
        lambda root, epochs: land_voting(str(root / "raw"), epochs, gauges=400),
        "select protocol, count(*), sum(realised_usd) from preboundary_backtest_results group by all",
    ),
    "lending": Wing(
        1_095,
        "days",
        lambda root, days: land_lending(root, 96, days),
        "select csu_id, count(*), sum(net_tvl_usd) from csu_daily_panel group by all",
    ),
    "bars": Wing(
        756,
        "sessions",
        lambda root, days: land_bars(str(root / "raw"), 500, days),
        "select symbol, count(*), max(high) from bars_m5 group by all",
    ),
    "markets": Wing(
        1_095,
        "days",
        lambda root, days: land_markets(root, 1_000, days),
        "select experiment, count(*), avg(probability) from experiment_results group by all",
    ),
}


def environment(folder: Path) -> dict[str, str]:
    return {
        "FORESHORE_CONFIG": str(folder / "foreshore.toml"),
        "FORESHORE_RAW": str(folder / "raw"),
        "FORESHORE_BUILD": str(folder / "build" / "foreshore.duckdb"),
        "FORESHORE_LEDGER": str(folder / "ledger" / "markets.duckdb"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "dbt_logs"),
        "DO_NOT_TRACK": "1",
    }


def step(folder: Path, command: Sequence[str], allowed: Sequence[int] = (0,)) -> dict[str, float]:
    """Seconds, processor seconds and peak MB of a command. Errors: RuntimeError with what it said last."""
    with (folder / "said.txt").open("w+b") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment(folder)}, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in allowed:
            said.seek(0)
            words = said.read().decode(errors="replace")[-1_500:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {words}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "peak_mb": round(usage.ru_maxrss / 1024)}


def slowest(folder: Path, count: int = 6) -> dict[str, float]:
    """The nodes that a build spent most time on."""
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    spent = sorted(((r["execution_time"], r["unique_id"].split(".", 2)[2]) for r in results), reverse=True)
    return {name: round(seconds, 1) for seconds, name in spent[:count]}


def failed(folder: Path) -> list[str]:
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    return [r["unique_id"].split(".", 2)[2] for r in results if r["status"] in ("error", "fail", "runtime error")]


def size(folder: Path, pattern: str) -> tuple[int, float]:
    """Files and MB."""
    found = [path.stat().st_size for path in folder.glob(pattern) if path.is_file()]
    return len(found), round(sum(found) / 2**20, 1)


def measure(name: str, share: float, folder: Path) -> dict[str, Any]:
    """One wing at one share, in a store of its own."""
    wing = WINGS[name]
    amount = max(1, round(wing.whole * share))
    storage = f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nseeds = "{ROOT}/seeds"\n'
    (folder / "foreshore.toml").write_text(storage)
    (folder / "build").mkdir()
    row: dict[str, Any] = {"wing": name, "share": share, wing.unit: amount}
    question = (*CLI, "sql", wing.question)
    build = (DBT, "build", "--select", f"+tag:{name}", "--indirect-selection", "buildable")
    steps = {
        "land": ((*LAND, "--land", name, str(amount), "--folder", str(folder)), (0,)),  # here it would count as others'
        "build": (build, (0, 1)),
        "publish": (question, (0,)),
        "sql": (question, (0,)),
        "status": ((*CLI, "status"), (0, 2)),
        "again": (build, (0, 1)),
    }
    for label, (command, allowed) in steps.items():
        say(f"{name} {share:g}: {label}")
        row[label] = step(folder, command, allowed)
        if command is build:
            row[label] |= {"slowest": slowest(folder), "failed": failed(folder)}
            say("".join(f"did not pass: {node}\n" for node in row[label]["failed"]))
    row["raw_files"], row["raw_mb"] = size(folder / "raw", "**/*.parquet")
    row["build_mb"] = size(folder / "build", "*.duckdb")[1]
    row["published_files"], row["published_mb"] = size(folder / "published" / "wings", f"{name}/**/*.parquet")
    return row


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(row: dict[str, Any]) -> None:
    """One row of the table for people; failed nodes and slow ones below it."""
    names = ("build", "again", "publish", "sql", "status")
    told = "".join(f"{row[n]['cpu']:>9.1f} s {row[n]['peak_mb']:>5.0f} MB" for n in names)
    print(f"{row['wing']:<8} {row['share']:>6g} {row['raw_files']:>7,} files {row['raw_mb']:>8,.0f} MB{told}")
    print(f"         slowest: {row['build']['slowest']}; again: {row['again']['slowest']}")
    if row["build"]["failed"]:
        print(f"         did not pass: {', '.join(row['build']['failed'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wing", choices=list(WINGS), action="append", help="default: every wing")
    parser.add_argument("--share", type=float, action="append", help="of the whole, e.g. 0.333 (default 0.1)")
    parser.add_argument("--folder", type=Path, help="where stores are made and deleted (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print a JSON object a row instead of a table")
    parser.add_argument("--land", nargs=2, metavar=("WING", "AMOUNT"), help="only land so much in --folder")
    asked = parser.parse_args()
    if asked.land:
        WINGS[asked.land[0]].land(asked.folder, int(asked.land[1]))
        return
    for name in asked.wing or WINGS:
        for share in asked.share or (0.1,):
            with tempfile.TemporaryDirectory(prefix="foreshore-growth-", dir=asked.folder) as folder:
                row = measure(name, share, Path(folder))
            if asked.json:
                print(json.dumps(row), flush=True)
            else:
                show(row)


if __name__ == "__main__":
    main()
