"""A daily run of 1,000 markets and 8 experiments, end to end against the local server, on both ledgers; an ORM beside.

End to end: list the day over HTTP, normalize, land, run the experiments, write the ledger. The peer only writes what
ours has computed, so it is given the easier half.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from benchmarks.common import FOLDER, Contestant, arguments, race, result, show
from decide.markets.experiments.protocol import canonical
from operate.markets.demo import simulated_markets
from operate.markets.store import Store

EXPERIMENTS = [
    "baseline_snapshot",
    "market_price",
    "base_rate",
    "longshot_corrected",
    "negrisk_coherent",
    "momentum",
    "time_decay",
    "kelly",
]
DAY = date(2025, 12, 29)  # a week before the first simulated day
_RUN = """
import os, sys, threading, time
from pathlib import Path
from datetime import date
from extract.config import load_config
from operate.markets.daily import DailyRun, Request
from operate.markets.settings import MarketSettings
from operate.markets.sources import Polymarket
from operate.markets.store import Store

peak = 0
def resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
def watch():  # all processes together, each in full: memory they share counts twice
    global peak
    while True:
        mine = [p for t in Path("/proc/self/task").glob("*/children") for p in t.read_text().split()]
        peak = max(peak, resident("self") + sum(map(resident, mine)))
        time.sleep(0.05)
if Path("/proc/self/task").exists():
    threading.Thread(target=watch, daemon=True).start()

config = load_config(sys.argv[1])
settings = MarketSettings.of(config)
started = time.perf_counter()
store = Store.open(settings)
summary = DailyRun(settings, Polymarket(config), store, None, Request(date(2025, 12, 29), 7)).execute()
seconds = time.perf_counter() - started
store.close()
assert summary.exit_code == 0, summary
print(seconds, summary.processed, peak, summary.seconds)
"""


def configure(folder: Path, url: str) -> Path:
    """A configuration with a lake of its own and the eight shipped experiments."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    modules = ", ".join(f'"decide.markets.experiments.{name}"' for name in EXPERIMENTS)
    path = folder / "foreshore.toml"
    path.write_text(
        f'[storage]\nroot = "{folder}"\nraw_url = "{folder}/raw"\nseeds = "{FOLDER.parent}/seeds"\n'
        f'[polymarket]\ngamma_url = "{url}"\nclob_url = "{url}"\ngamma_requests_per_second = 1000.0\n'
        f"[markets]\nexperiments = [{modules}]\n"
    )
    return path


def run_once(folder: Path, url: str, ledger_url: str | None) -> tuple[float, int, int]:
    """Seconds, markets and peak MB (this process and its workers together) of a run in a fresh process and lake."""
    config = configure(folder, url)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORESHORE_")}
    if ledger_url:
        environment["FORESHORE_LEDGER_URL"] = ledger_url
    command = [sys.executable, "-c", _RUN, str(config)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    seconds, markets, megabytes, stages = done.stdout.split(maxsplit=3)
    print(f"  {stages.strip()}", file=sys.stderr)
    return float(seconds), int(markets), int(megabytes)


@contextmanager
def postgres() -> Iterator[object | None]:
    """A server of our own from local binaries, or None."""
    from tests import postgres_fixtures as local

    made = local.started()
    if isinstance(made, str):
        print(made, file=sys.stderr)
        yield None
        return
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder, ignore_errors=True)


def peer_python() -> Path:
    """The interpreter with SQLAlchemy, in an environment of its own."""
    folder = FOLDER / ".peers" / "markets"
    python = folder / "bin" / "python"
    if not python.exists():
        print("installing the peer into benchmarks/.peers/markets", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        (folder.parent / ".gitignore").write_text("*\n")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "-r", str(FOLDER / "markets" / "peers.txt")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"SQLAlchemy does not install: {done.stderr.strip()[-300:]}")
    return python


def peer(url: str, payloads: Path) -> float:
    command = [str(peer_python()), str(FOLDER / "markets" / "peer.py"), url, str(payloads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-400:])
    return float(done.stdout)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--markets", type=int, default=1000, help="ordinary markets that end on the day (default 1000)")
    parser.add_argument(
        "--large", type=int, default=5000, help="markets of the memory measurement (default 5000; 0: none)"
    )
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="foreshore-bench-"))
    facts: dict[str, object] = {}
    with postgres() as server:
        with simulated_markets(work / "world", 1, options.markets) as url:
            count = _first(work, url)
            contestants = [Contestant("ours, DuckDB ledger, end to end", lambda: run_once(work / "duck", url, None)[0])]
            if server is not None:
                database = server.database  # type: ignore[attr-defined]
                contestants.append(
                    Contestant("ours, PostgreSQL, end to end", lambda: run_once(work / "pg", url, database())[0])
                )
                contestants.append(
                    Contestant(
                        "SQLAlchemy ORM, PostgreSQL, writes only",
                        lambda: peer(
                            database().replace("postgresql://", "postgresql+psycopg://"), work / "payloads.jsonl"
                        ),
                    )
                )
            else:
                facts["postgres"] = "no local binaries: left out"
            contestants.append(Contestant("SQLAlchemy ORM, DuckDB, writes only", lambda: _duckdb_peer(work)))
            race(contestants, options.rounds)
        if options.large:
            with simulated_markets(work / "large", 1, options.large) as url:
                seconds, markets, megabytes = run_once(work / "duck", url, None)
                facts["large"] = f"{markets:,} markets in {seconds:.1f} s, peak {megabytes} MB, workers included"
    shutil.rmtree(work, ignore_errors=True)
    show(result("Daily run, 8 experiments", contestants, count, "markets", **facts), options.json)


def _first(work: Path, url: str) -> int:
    """One run before the race: how many markets there are, and what the peer is to write."""
    _, count, _ = run_once(work / "first", url, None)
    from operate.markets.engines import DuckDbEngine

    store = Store(DuckDbEngine(work / "first" / "ledger" / "markets.duckdb", 10))
    rows = [canonical(row.payload) for row in store.payloads(f"{DAY}-w7")]
    (work / "payloads.jsonl").write_text("\n".join(rows) + "\n")
    assert len(json.loads(rows[0])["results"]) == len(EXPERIMENTS)
    return count


def _duckdb_peer(work: Path) -> float:
    file = work / f"peer-{time.monotonic_ns()}.duckdb"
    return peer(f"duckdb:///{file}", work / "payloads.jsonl")


if __name__ == "__main__":
    main()
