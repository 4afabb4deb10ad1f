"""From a bar's arrival to its decision, with 100 symbols whose minutes all come at once (or one by one: `--spread`).

`python -m benchmarks.bars.pre_paper`: a session of minutes for every symbol, one burst a minute, through the same loop
as `foreshore pre-paper run`: roll, cache (SQLite, WAL), history check, strategy, signal with fsync. The next burst
comes when the last one is dealt with. A bar's latency runs from when its fifth minute came to its decision, so the last
of a burst waits for all before it. Target: p99 below 10 ms. Beside it what a burst costs the processor as a whole, with
its decisions and all that comes after them (audit lines, checkpoint): on a busy machine the only figure that tells.
"""

from __future__ import annotations

import asyncio
import csv
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.common import FOLDER, arguments
from decide.bars.run import bar_strategies
from decide.bars.sessions import Sessions
from extract.bars.alpaca_socket import Joined, LiveEvent, Minute
from extract.bars.provider import Bar
from operate.bars.manifest import Promotion
from operate.bars.pre_paper.cache import BarCache, Source
from operate.bars.pre_paper.folder import RunFolder
from operate.bars.pre_paper.history import History
from operate.bars.pre_paper.runner import Clock, Runner
from simulate.bars.market import Market, read_sessions, roll

SEEDS = FOLDER.parent / "seeds"
DAY = date(2026, 3, 10)


def rows(name: str) -> list[dict[str, str]]:
    with next(SEEDS.rglob(f"{name}.csv")).open() as handle:
        return list(csv.DictReader(handle))


async def measure(
    symbols: tuple[str, ...], folder: Path, is_spread: bool = False
) -> tuple[np.ndarray, np.ndarray, int]:
    """Latencies and processor time of every closing burst, in milliseconds, and the number of signals."""
    calendar = Sessions.of(rows("sessions"))
    market = Market(read_sessions(SEEDS / "bars" / "sessions.csv"), symbols, 7)
    today = next(s for s in market.sessions if s.day == DAY)
    before = market.sessions[market.sessions.index(today) - 1]
    for symbol in symbols:
        market.minutes(symbol, market.sessions.index(today))  # made before the clock runs
    strategy = bar_strategies(rows("bar_strategies"))[0]
    promotion = Promotion(strategy, symbols[0], "sip", DAY, DAY, {})
    with BarCache(folder / "cache.sqlite", "sip", calendar) as cache:  # closed again: its log is in the file by then
        for symbol in symbols:
            past = roll(market.between(symbol, before.open, before.close - 1), 300)
            cache.put([_bar(symbol, bar) for bar in past], Source.FINAL)
    with BarCache(folder / "cache.sqlite", "sip", calendar) as cache, RunFolder(folder / "run") as run:
        clock = Clock(today.open - 60)
        facts = {"run_id": "bench", "promotion_sha256": "0" * 64}
        session = (today.open, today.close)
        runner = Runner(promotion, symbols, History(cache, None), run, clock, session, today.open - 60, facts)

        costs: list[float] = []

        async def bursts() -> AsyncIterator[LiveEvent]:
            yield Joined(symbols)
            sent, before = 1, 0.0
            for moment in range(today.open, today.close, 60):
                while runner.tally.events < sent or not run.is_flushed:  # noqa: ASYNC110
                    await asyncio.sleep(0.0002)
                if moment % 300 == 0 and before:
                    costs.append(time.thread_time() - before)
                made = [(symbol, market.at(symbol, moment)) for symbol in symbols]
                burst = [Minute(_bar(symbol, bar), is_update=False) for symbol, bar in made if bar is not None]
                before = time.thread_time()
                sent += 0 if is_spread else len(burst)
                for minute in burst:
                    sent += is_spread
                    yield minute
                    while is_spread and moment % 300 == 240 and runner.tally.events < sent:  # noqa: ASYNC110
                        await asyncio.sleep(0)

        await runner.run(bursts())
    return 1_000 * np.array(runner.tally.latencies), 1_000 * np.array(costs), runner.tally.signals


def _bar(symbol: str, bar: object) -> Bar:
    values = (float(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume"))
    return Bar(symbol, int(getattr(bar, "ts")), *values)  # noqa: B009


def main() -> None:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--symbols", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--spread", action="store_true", help="minutes one after the other, not all at once")
    parsed = parser.parse_args()
    names = tuple(f"S{number:03d}" for number in range(parsed.symbols))
    for number in range(parsed.rounds):
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            spent, costs, signals = asyncio.run(measure(names, Path(folder), parsed.spread))
        p50, p99 = (float(np.quantile(spent, level)) for level in (0.5, 0.99))
        cpu50, cpu99 = (float(np.quantile(costs, level)) for level in (0.5, 0.99))
        print(
            f"round {number + 1}: {len(spent):,} bars of {parsed.symbols} symbols, {signals} signals; "
            f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {spent.max():.2f} ms; "
            f"processor per burst p50 {cpu50:.2f} ms, p99 {cpu99:.2f} ms"
        )


if __name__ == "__main__":
    main()
