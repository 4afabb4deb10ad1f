"""Does anything grow: an hour of repeated builds, replayed pre-paper sessions and a boundary night, at full speed.

    python -m benchmarks.soak                      an hour; --minutes 12 for less
    python -m benchmarks.soak --loop builds --minutes 10 --json

Each loop is one process that does its work again and again without leaving: `builds` builds, tests and publishes the
bars, `pre-paper` replays a session on a stock market that is started anew for each, `night` watches an epoch block by
block (a vote in each) and decides on every one. From outside, memory, descriptors, threads and files are counted every
few seconds. What is flat is as high in the last quarter as in the second: the first warms up. Exit code 1 where
something grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import FOLDER

SAMPLE_SECONDS = 2.0
MOST_GROWTH = 0.10  # of memory between the second quarter and the last: allocators and caches breathe
READY, ROUNDS = "ready", "rounds"
START_SECONDS = 1_800
GAUGES, LEAD = 20, 600  # of the night: gauges, and seconds that are left when it begins; before, nothing is decided


@dataclass
class Sample:
    """One look at a process and its folder."""

    rounds: int
    resident: float
    descriptors: int
    threads: int
    files: int


@dataclass
class Loop:
    """A process that goes round, and what was seen of it."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    samples: list[Sample] = field(default_factory=list)
    ended: str = ""  # how it ended, if it did not go round to the end

    def look(self, log: Path) -> None:
        """Note what it holds now, or that it has ended; before it is ready nothing counts."""
        if self.ended or self.process.poll() is not None:
            self.ended = self.ended or f"ended with {self.process.returncode}: {log.read_text(errors='replace')[-400:]}"
            return
        if not (self.folder / READY).exists():
            return
        seen = psutil.Process(self.process.pid)
        with seen.oneshot():
            resident, descriptors, threads = seen.memory_info().rss / 2**20, seen.num_fds(), seen.num_threads()
        files = sum(len(names) for _, _, names in os.walk(self.folder))
        self.samples.append(Sample(_rounds(self.folder), resident, descriptors, threads, files))

    def told(self) -> dict[str, Any]:
        """Medians of the second and the last quarter, and what grew."""
        quarter = len(self.samples) // 4
        if not quarter:
            return {"loop": self.name, "grew": [self.ended or "nothing was seen: it was not ready in time"]}
        second, last = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        row: dict[str, Any] = {"loop": self.name, "rounds": last[-1].rounds}
        for name in ("resident", "descriptors", "threads", "files"):
            row[name] = [round(statistics.median(getattr(s, name) for s in part), 1) for part in (second, last)]
        made = statistics.median(s.rounds for s in last) - statistics.median(s.rounds for s in second)
        row["files_a_round"] = round((row["files"][1] - row["files"][0]) / made, 2) if made else None
        row["grew"] = [n for n in ("descriptors", "threads") if row[n][1] > row[n][0] + 1]
        if row["resident"][1] > row["resident"][0] * (1 + MOST_GROWTH):
            row["grew"].append("memory")
        row["grew"] += [self.ended] if self.ended else []
        return row


def _rounds(folder: Path) -> int:
    try:
        return int((folder / ROUNDS).read_text() or 0)
    except FileNotFoundError:
        return 0


# -- what goes round: each yields when it is set up, and after every round


def builds(folder: Path) -> Iterator[None]:
    """The bars of five symbols, built, tested and published."""
    from benchmarks.bars.raw_bars import land_bars
    from operate.warehouse import Warehouse

    land_bars(str(folder / "raw"), 5, 60)
    warehouse = Warehouse(folder, str(folder / "raw"))
    while True:
        _build_bars(warehouse)
        yield


def sessions(folder: Path) -> Iterator[None]:
    """A session of three symbols, its socket cut for twelve minutes on the way."""
    from operate.bars import backtest as bar_backtest
    from operate.bars.pre_paper import demo
    from operate.bars.pre_paper import run as running
    from operate.bars.pre_paper.moment import parse_moment
    from operate.warehouse import Warehouse

    config = _config(folder)
    warehouse = Warehouse.of(config)
    if demo.extract(config) not in (0, 3):
        raise RuntimeError("the bars were not extracted")
    _build_bars(warehouse)
    asked = bar_backtest.Asked(demo.SYMBOLS[0], "M5", date(2026, 1, 7), demo.LAST_TESTED)
    while True:
        with demo.market(folder / "world", demo.OPENS) as (told, keys):
            made = demo.with_market(config, told, keys)
            place, _ = bar_backtest.run(made, asked)
            wanted = running.Asked(place / "run_manifest.json", "world", None, demo.SYMBOLS, parse_moment(demo.OPENS))
            running.execute(made, wanted, None)
        yield


def night(folder: Path) -> Iterator[None]:
    """An epoch's last ten minutes, a block after the other, each with a vote in it and decided on; then it stands."""
    import simulate.voting
    from benchmarks.voting import boundary_night

    sizes = {"epochs": 1, "gauges": GAUGES, "voters": 8, "stops_before": LEAD + 100}
    with simulate.voting.running(folder / "world", **sizes) as world:
        config = boundary_night.prepare(world, folder)
        counted = Path(folder / ROUNDS)
        yield
        blocks = LEAD // boundary_night.BLOCK_SECONDS - 10
        watched = boundary_night.night(
            config, world, blocks, lead=LEAD, pace=0.0, heard=lambda number: _count(counted, number)
        )
        asyncio.run(watched)
        while True:  # its boundary is reached: what it still holds is looked at to the end
            time.sleep(SAMPLE_SECONDS)


LOOPS: dict[str, Callable[[Path], Iterator[None]]] = {"builds": builds, "pre-paper": sessions, "night": night}


def _build_bars(warehouse: Any) -> None:
    """One wing's build and publication; the others are not there."""
    from operate.lock import building
    from operate.rebuild import run_dbt
    from operate.warehouse import publish

    command = ["--quiet", "build", "--select", "+tag:bars", "--indirect-selection", "buildable"]
    command += ["--target-path", f"{warehouse.root}/target", "--log-path", f"{warehouse.root}/dbt_logs"]
    with building(warehouse.build_file.parent):
        if not run_dbt(warehouse, command) or "bars" in publish(warehouse).held_back:
            raise RuntimeError("the build did not pass")


def _config(folder: Path) -> Any:
    from extract.config import load_config

    path = folder / "foreshore.toml"
    seeds = FOLDER.parent / "seeds"
    path.write_text(f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nseeds = "{seeds}"\nis_simulated = true\n')
    return load_config(str(path))


def _count(path: Path, number: int) -> None:
    part = path.with_suffix(".new")
    part.write_text(str(number))
    part.replace(path)


def go_round(name: str, folder: Path) -> None:
    """Until somebody ends this process."""
    for number, _ in enumerate(LOOPS[name](folder)):
        if number == 0:
            (folder / READY).touch()
        else:
            _count(folder / ROUNDS, number)


# -- from outside


def soak(names: list[str], minutes: float, folder: Path) -> list[dict[str, Any]]:
    """Run the loops side by side, so many minutes after the last is ready; one that ends keeps what was seen of it."""
    loops = []
    for name in names:
        place = folder / name
        place.mkdir()
        command = [sys.executable, "-m", "benchmarks.soak", "--do", name, "--folder", str(place)]
        log = (folder / f"{name}.log").open("wb")
        loops.append(Loop(name, place, subprocess.Popen(command, stdout=log, stderr=log, cwd=FOLDER.parent)))
    try:
        ready_by = time.monotonic() + START_SECONDS
        while not all(loop.ended or (loop.folder / READY).exists() for loop in loops) and time.monotonic() < ready_by:
            _look(loops, folder)
        print(f"all are ready: {minutes:g} minutes from now", file=sys.stderr, flush=True)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            _look(loops, folder)
    finally:
        for loop in loops:
            _end(loop.process.pid)
            loop.process.wait()
    return [loop.told() for loop in loops]


def _look(loops: list[Loop], folder: Path) -> None:
    time.sleep(SAMPLE_SECONDS)
    for loop in loops:
        loop.look(folder / f"{loop.name}.log")


def _end(pid: int) -> None:
    """A loop and what it has started."""
    with suppress(psutil.NoSuchProcess):
        mine = psutil.Process(pid)
        for process in [*mine.children(recursive=True), mine]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'loop':<11}{'rounds':>7}{'MB':>16}{'descriptors':>15}{'threads':>11}{'files':>16}{'a round':>9}  grew")
    for row in rows:
        if "rounds" not in row:
            print(f"{row['loop']:<11} {row['grew'][0]}")
            continue
        pairs = [f"{row[n][0]:g} > {row[n][1]:g}" for n in ("resident", "descriptors", "threads", "files")]
        told = f"{pairs[0]:>16}{pairs[1]:>15}{pairs[2]:>11}{pairs[3]:>16}"
        print(f"{row['loop']:<11}{row['rounds']:>7}{told}{row['files_a_round']!s:>9}  {', '.join(row['grew']) or '-'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--loop", choices=list(LOOPS), action="append", help="default: all of them side by side")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--do", choices=list(LOOPS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the stores are made and deleted (default: the system's)")
    asked = parser.parse_args()
    if asked.do:
        go_round(asked.do, asked.folder)
        return
    with tempfile.TemporaryDirectory(prefix="foreshore-soak-", dir=asked.folder) as folder:
        rows = soak(asked.loop or list(LOOPS), asked.minutes, Path(folder))
    print(json.dumps(rows)) if asked.json else show(rows)
    sys.exit(1 if any(row["grew"] for row in rows) else 0)


if __name__ == "__main__":
    main()
