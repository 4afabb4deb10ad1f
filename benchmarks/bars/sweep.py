"""A sweep of parameter sets on 250 sessions of M5 bars of one symbol, beside vectorbt and backtesting.py.

`python -m benchmarks.bars.sweep [--sets N]`: per set ours finds the signals, fills, sizes and pays the orders, and
takes figures of them, on one core, in seconds of processor time. The peers are handed finished entries with stops,
targets and last rows, and simulate only: vectorbt called set by set and once with many columns, backtesting.py in one
run. Trades that leave later than their entry bar can be expressed in vectorbt (it looks for stops from the next bar
on), and are compared with ours one by one: same entry bar, same exit bar, same price. `fills` counts the others too.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.bars.backtest import ROOT, peers_python, rows
from benchmarks.common import Contestant, arguments, race, result, show
from decide.bars.backtest import FILLED, Book, keep_book
from decide.bars.bars import Bars
from decide.bars.inside_bar import legs, trace
from decide.bars.orders import Orders
from decide.bars.patterns import Series
from decide.bars.rules import trade_windows
from decide.bars.run import BarStrategy, bar_strategies
from decide.bars.sessions import M5, Sessions
from decide.bars.sweep import run_sweep
from simulate.bars.market import Market, read_sessions, roll

YEAR, SESSIONS = 2025, 250
HANDED = 12  # sets the peers get
PEERS = Path(__file__).parent / "sweep_peers.py"


def year() -> tuple[Bars, Sessions]:
    market = Market(read_sessions(ROOT / "seeds" / "bars" / "sessions.csv"), ("FORE",), 7)
    sessions = [s for s in market.sessions if s.day.year == YEAR][:SESSIONS]
    bars = [bar for s in sessions for bar in roll(market.between("FORE", s.open, s.close - 1), M5)]
    names = ("open", "high", "low", "close", "volume")
    columns = {"label": [bar.ts for bar in bars], **{name: [getattr(bar, name) for bar in bars] for name in names}}
    return Bars.of(columns), Sessions(np.array([s.open for s in sessions]), np.array([s.close for s in sessions]))


def grid(count: int) -> list[tuple[dict[str, str], BarStrategy]]:
    """`count` sets over size, average, target, stop and age."""
    base = bar_strategies(rows("bar_strategies"))[0]
    found = []
    for number in range(count):
        rest, period = divmod(number, 10)
        rest, target = divmod(rest, 10)
        rest, size = divmod(rest, 10)
        _, age = divmod(rest, 10)
        changes = {
            "atr_period": 5 + period,
            "risk_reward_ratio": 1 + 0.25 * target,
            "min_mother_bar_size_atr_multiple": 0.3 + 0.1 * size,
            "max_pattern_age_candles": 3 + age,
        }
        made = replace(base, rules=replace(base.rules, **changes))  # type: ignore[arg-type]
        found.append(({name: str(value) for name, value in changes.items()}, made))
    return found


def orders_of(bars: Bars, sessions: Sessions, strategy: BarStrategy) -> tuple[Orders, Book]:
    series, windows = Series(bars), trade_windows(sessions, strategy.rules)
    traced = trace(series, strategy.rules, windows)  # type: ignore[arg-type]
    orders = legs(series, strategy.rules, windows, traced).orders  # type: ignore[arg-type]
    return orders, keep_book(bars, orders, sessions.closes, strategy.execution, M5)


def handed_over(bars: Bars, sessions: Sessions, strategy: BarStrategy) -> dict[str, np.ndarray]:
    """Entries, stops, targets and last rows of the trades that leave after their entry bar, and how ours left."""
    free = replace(strategy, execution=replace(strategy.execution, slippage_bps=0.0, commission_per_share_usd=0.0))
    orders, book = orders_of(bars, sessions, free)
    kept = np.flatnonzero((book.outcome == FILLED) & (book.exit_row > book.fill_row))
    kept = kept[np.argsort(book.fill_row[kept])]
    last = np.searchsorted(bars.labels, orders.exit_by[kept] - M5, side="right") - 1
    return {
        "entry_row": book.fill_row[kept],
        "entry_price": book.fill_price[kept],
        "side": orders.sign[kept],
        "stop": orders.stop[kept] / 1e6,
        "target": orders.target[kept] / 1e6,
        "last_row": last,
        "exit_row": book.exit_row[kept],
        "exit_price": book.exit_price[kept],
        "fills": np.array(np.count_nonzero(book.outcome == FILLED)),
    }


def main() -> None:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument(
        "--sets", type=int, default=1_000, help="sets of our sweep (default 1,000; the target is 10,000)"
    )
    parsed = parser.parse_args()
    bars, sessions = year()
    sets = grid(parsed.sets)
    told: dict[str, dict[str, float]] = {}

    def ours() -> float:
        started = time.process_time()
        run_sweep(bars, sessions, sets, lambda orders, rules: np.ones(len(orders), np.bool_))
        return (time.process_time() - started) / len(sets)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sets.npz"
        handed = [handed_over(bars, sessions, strategy) for _, strategy in grid(HANDED)]
        flat = {f"{name}_{n}": values for n, one in enumerate(handed) for name, values in one.items()}
        prices = {name: getattr(bars, name) for name in ("labels", "open", "high", "low", "close")}
        np.savez(path, sets=np.array(HANDED), **prices, **flat)

        def peer(name: str) -> float:
            done = subprocess.run(
                [peers_python(), str(PEERS), name, str(path)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(done.stderr.strip()[-300:])
            told[name] = json.loads(done.stdout.splitlines()[-1])
            return float(told[name]["seconds"])

        contestants = [
            Contestant("ours: signals, fills, figures, per set", ours),
            Contestant("vectorbt: simulation, set by set", lambda: peer("one")),
            Contestant("vectorbt: simulation, 100 columns a call", lambda: peer("many")),
            Contestant("backtesting.py: one run", lambda: peer("backtesting")),
        ]
        race(contestants, parsed.rounds)
    facts = {"sets": len(sets), "peers": told}
    show(result("A set of a sweep, 250 sessions of M5 bars", contestants, 1, "sets", **facts), parsed.json)


if __name__ == "__main__":
    main()
