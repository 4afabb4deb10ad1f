"""What extraction holds in memory: every wing's verb against its stand-in on loopback, at sizes of real days.

    python -m benchmarks.extraction                      every wing
    python -m benchmarks.extraction --wing voting --json

An epoch of 400 gauges and 40 voters on two exchanges; every lending deployment of the world for a week; three years of
M5 of twenty symbols (more symbols take longer, not more room: months are fetched and landed one after another); a day
of 1,000 markets, listed, and run through eight experiments. Memory is the kernel's high-water mark of the verb's own
process; what is wanted is 512 MB. `cpu` is processor time, which other jobs on the machine hardly lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import simulate.bars
import simulate.lending
import simulate.voting
from benchmarks.growth import CLI, ROOT, say, step
from operate.markets.demo import FIRST_END, simulated_markets
from operate.worlds import lending_config, world_config

MOST_MB = 512
Verb = Sequence[str]


@contextmanager
def voting(folder: Path) -> Iterator[tuple[str, list[Verb]]]:
    with simulate.voting.running(folder, epochs=1, gauges=400, voters=40) as world:
        yield world_config(world.info), [("extract", "voting", "--epochs", "1")]


@contextmanager
def lending(folder: Path) -> Iterator[tuple[str, list[Verb]]]:
    with simulate.lending.running(folder, days=9) as world:
        days = [day["date"] for day in world.info["days"][1:8]]
        yield lending_config(world.info), [("extract", "lending", "--since", days[0], "--until", days[-1])]


@contextmanager
def bars(folder: Path) -> Iterator[tuple[str, list[Verb]]]:
    symbols = [f"S{number:03d}" for number in range(20)]
    with simulate.bars.running(folder, symbols=",".join(symbols), now="2026-03-09T13:25:00Z") as market:
        asked = [part for symbol in symbols for part in ("--symbol", symbol)]
        os.environ.update(market.environ)
        yield market.config("alpaca"), [("extract", "bars", *asked, "--from", "2023-03-01", "--to", "2026-03-06")]


@contextmanager
def markets(folder: Path) -> Iterator[tuple[str, list[Verb]]]:
    with simulated_markets(folder, 1, 1_000) as url:
        text = f'[polymarket]\ngamma_url = "{url}"\nclob_url = "{url}"\ngamma_requests_per_second = 1000.0\n'
        day = ("--run-date", str(FIRST_END))
        yield text, [("extract", "markets", *day), ("markets", "daily", *day, "--window-days", "0")]


WINGS: dict[str, Callable[[Path], Any]] = {"voting": voting, "lending": lending, "bars": bars, "markets": markets}


def measure(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A row of every verb of a wing, in a store of its own."""
    with WINGS[name](folder / "world") as (sources, verbs):
        storage = (
            f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nseeds = "{ROOT}/seeds"\nis_simulated = true\n'
        )
        (folder / "foreshore.toml").write_text(storage + sources)
        for verb in verbs:
            say(f"{' '.join(verb[:2])}")
            found = step(folder, (*CLI, *verb))
            files = [path for path in (folder / "raw").rglob("*.parquet") if path.is_file()]
            yield {"verb": " ".join(verb[:2]), **found, "raw_files": len(files)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wing", choices=list(WINGS), action="append", help="default: every wing")
    parser.add_argument("--json", action="store_true", help="print a JSON object a verb instead of a table")
    asked = parser.parse_args()
    most = 0.0
    for name in asked.wing or WINGS:
        with tempfile.TemporaryDirectory(prefix="foreshore-extraction-") as folder:
            for row in measure(name, Path(folder)):
                most = max(most, row["peak_mb"])
                shown = f"{row['verb']:<18}{row['seconds']:>9.1f} s{row['cpu']:>9.1f} s cpu{row['peak_mb']:>7.0f} MB"
                print(json.dumps(row) if asked.json else shown, flush=True)
    sys.exit(1 if most > MOST_MB else 0)


if __name__ == "__main__":
    main()
