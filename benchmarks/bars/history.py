"""`ensure_history` of 1, 100 and 1,000 symbols while another process writes bars into the same cache.

`python -m benchmarks.bars.history`: a cache of 1,000 symbols x 20 sessions; a writer process that puts one bar per
transaction as fast as it can (`--writer-rate` bars a second when it is above 0); each round asks for all symbols at a
moment of a session at which the strategy needs 93 bars. Targets, p99: 1, 5 and 50 ms. Also: cost with no writer, and
the CPU time of an answer, which other jobs on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from decide.bars.history import Requirement
from decide.bars.sessions import M5, Sessions
from extract.bars.provider import Bar
from operate.bars.pre_paper.cache import BarCache, Source
from operate.bars.pre_paper.history import History

ROOT = Path(__file__).parents[2]
SESSIONS = Sessions.of(list(csv.DictReader((ROOT / "seeds" / "bars" / "sessions.csv").open())))
NOW = 1_773_172_800  # 2026-03-10 20:00 UTC, the close: the whole day and the warm-up are needed
NEEDED = Requirement(M5, lookback_bars=50, pattern_age_bars=12, margin_bars=1, warmup_bars=15)
TARGETS_MS = {1: 1.0, 100: 5.0, 1_000: 50.0}
SYMBOLS = [f"S{number:04d}" for number in range(1_000)]


def fill(path: Path, days: int) -> int:
    """Bars of every symbol up to the moment; returns their number."""
    labels = SESSIONS.between(M5, NOW - days * 7 // 5 * 86_400, NOW - M5).tolist()[-78 * days :]
    with BarCache(path, "sip", SESSIONS) as cache:
        for symbol in SYMBOLS:
            cache.put([Bar(symbol, ts, 10.0, 11.0, 9.0, 10.0, 1.0) for ts in labels], Source.FINAL, at=0)
    return len(labels) * len(SYMBOLS)


def write(path: Path, rate: float, stop: Event, written: Any) -> None:
    """Revise today's bars, one transaction each, until told to stop."""
    today, number = SESSIONS.between(M5, NOW - 390 * 60, NOW - M5).tolist(), 0
    started = time.monotonic()
    with BarCache(path, "sip", SESSIONS) as cache:
        while not stop.is_set():
            symbol, ts = SYMBOLS[number % 1_000], today[number // 1_000 % len(today)]
            cache.put([Bar(symbol, ts, 10.0, 12.0, 9.0, 10.0 + number % 7 / 10, 1.0)], Source.FINAL, at=number)
            number += 1
            written.value = number
            if rate > 0:
                time.sleep(max(number / rate - (time.monotonic() - started), 0))


def measure(path: Path, symbols: int, rounds: int) -> dict[str, float]:
    """Milliseconds of one answer about all symbols, through `History.ensure`."""
    spent, used = [], []
    with BarCache(path, "sip", SESSIONS) as cache:
        history = History(cache, None)

        async def ask() -> None:
            for _ in range(rounds):
                started, cpu = time.perf_counter(), time.thread_time()
                found = await history.ensure(SYMBOLS[:symbols], NEEDED, NOW)
                spent.append(1_000 * (time.perf_counter() - started))
                used.append(1_000 * (time.thread_time() - cpu))
                assert len(found) == symbols and all(answer.is_sufficient for answer in found.values())

        asyncio.run(ask())
    wall = {"p50": float(np.quantile(spent, 0.5)), "p99": float(np.quantile(spent, 0.99)), "max": max(spent)}
    return wall | {"cpu_p99": float(np.quantile(used, 0.99))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=20, help="sessions in the cache")
    parser.add_argument("--rounds", type=int, default=2_000, help="answers about one symbol; fewer for more symbols")
    parser.add_argument("--writer-rate", type=float, default=0.0, help="bars a second; 0: as fast as it can")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.sqlite"
        rows = fill(path, options.days)
        rounds = {n: max(options.rounds * 10 // (n + 9), 200) for n in TARGETS_MS}
        idle = {n: measure(path, n, rounds[n]) for n in TARGETS_MS}
        stop, written = context.Event(), context.Value("q", 0)
        writer = context.Process(target=write, args=(path, options.writer_rate, stop, written))
        writer.start()
        while not written.value and writer.is_alive():
            time.sleep(0.01)
        begun, count = time.monotonic(), written.value
        busy = {n: measure(path, n, rounds[n]) for n in TARGETS_MS}
        rate = (written.value - count) / (time.monotonic() - begun)
        stop.set()
        writer.join()
    found = {"rows": rows, "written_per_second": rate, "idle": idle, "with_writer": busy}
    if options.json:
        print(json.dumps(found))
        return
    print(f"{rows:,} bars cached; the writer put {rate:,.0f} bars a second, one transaction each")
    heads = ("symbols", "idle p50", "p99", "writer p50", "p99", "max", "cpu p99")
    print("".join(f"{head:>11}" for head in heads), "  target p99")
    for n, target in TARGETS_MS.items():
        verdict = "met" if busy[n]["p99"] <= target else "MISSED"
        figures = [idle[n]["p50"], idle[n]["p99"], busy[n]["p50"], busy[n]["p99"], busy[n]["max"], busy[n]["cpu_p99"]]
        print(f"{n:>11,}" + "".join(f"{value:>11.3f}" for value in figures), f"  {target:g} ms {verdict}")


if __name__ == "__main__":
    main()
