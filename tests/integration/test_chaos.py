"""kill -9 at random moments of every verb that writes raw data, one after the other on one store.

`make chaos` (or FORESHORE_CHAOS_ROUNDS=200, FORESHORE_CHAOS_SEED=7 with pytest on this file): each round starts a verb
and kills it somewhere within the time it takes, sometimes after a raw file was damaged. Now and then everything may end
in peace; then the rows must be those of a store that was never killed, and no file may lie about.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from extract.bars.tables import BAR_TABLES
from extract.config import load_config
from extract.integrity import audit
from extract.lake import Lake, load_id_of
from extract.ledger import Ledger
from simulate.bars import RunningBars
from tests.bars_line_fixtures import SPAN, SYMBOLS
from tests.line_fixtures import ROOT, Line

pytestmark = pytest.mark.long
ROUNDS = int(os.environ.get("FORESHORE_CHAOS_ROUNDS", "30"))
SEED = int(os.environ.get("FORESHORE_CHAOS_SEED", "17"))
EXTRACT = ("extract", "bars", *SYMBOLS, *SPAN)
VERBS = {
    "extract": EXTRACT,
    "extract anew": (*EXTRACT, "--no-resume"),
    "compact": ("compact", "--least", "2"),
    "prune": ("prune", "--before", "2100-01-01", "--apply"),
    "repair": ("repair", "--verify"),
}
PEACE = 6  # rounds between two looks


def started(line: Line, market: RunningBars, verb: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "operate.cli", *VERBS[verb]],
        cwd=ROOT,
        env={**os.environ, **line.environment(), **market.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def told(lake: Lake) -> dict[str, str]:
    """A hash of each partition's newest rows, without when they were fetched."""
    states = Ledger.read(lake).states
    loads = {name: state.complete["load_id"] for name, state in states.items() if state.complete}
    rows = lake.read_committed("bars", BAR_TABLES["bars"]).to_pylist()
    lines: dict[str, list[str]] = {name: [] for name in loads}
    for row in rows:
        if loads.get(row["partition_id"]) == row["load_id"]:
            kept = {key: value for key, value in row.items() if key not in ("load_id", "fetched_at")}
            lines[row["partition_id"]].append(repr(sorted(kept.items())))
    return {name: hashlib.sha256("\n".join(sorted(of)).encode()).hexdigest() for name, of in lines.items()}


def damage(lake: Lake, chance: random.Random) -> None:
    """Cut the end off one committed file of rows."""
    committed = set(lake.committed_loads())
    files = [file for file in sorted(Path(lake.path, "bars").glob("*.parquet")) if load_id_of(file.name) in committed]
    if files:
        victim = chance.choice(files)
        victim.write_bytes(victim.read_bytes()[:-8])


def in_peace(line: Line, market: RunningBars, lake: Lake) -> None:
    """Everything may end; a file of no load may not be left."""
    for verb in ("repair", "extract", "compact"):
        with started(line, market, verb) as process:
            assert process.wait(timeout=300) in (0, 3), verb
    assert audit(lake) == []
    committed = set(lake.committed_loads())
    loose = [p.name for p in Path(lake.path).glob("[a-z]*/*.parquet") if load_id_of(p.name) not in {*committed, "0"}]
    assert loose == [] and not list(Path(lake.path).rglob("*.part"))


def test_killed_anywhere_the_rows_are_the_same(bars_line: Line, bars_market: RunningBars) -> None:
    chance, killed = random.Random(SEED), Counter[str]()
    lake = Lake.of(load_config(str(bars_line.folder / "foreshore.toml")))
    begun = time.monotonic()
    with started(bars_line, bars_market, "extract") as process:
        assert process.wait(timeout=300) == 0
    longest = time.monotonic() - begun
    wanted = told(lake)
    assert len(wanted) > 3 and all(wanted.values())
    for number in range(1, ROUNDS + 1):
        verb = chance.choice(list(VERBS))
        if verb == "repair":
            damage(lake, chance)
        with started(bars_line, bars_market, verb) as process:
            try:
                process.wait(timeout=chance.uniform(0.1, 1.0) * longest)
            except subprocess.TimeoutExpired:
                process.kill()
                killed[verb] += 1
        if number % PEACE == 0 or number == ROUNDS:
            in_peace(bars_line, bars_market, lake)
            assert told(lake) == wanted, f"round {number} of seed {SEED}: {dict(killed)}"
    print(f"{ROUNDS} rounds, killed {dict(killed)}, {time.monotonic() - begun:.0f} s")
    assert sum(killed.values()) >= ROUNDS // 3
