"""Ten years of five-minute bars of one symbol: gates, signals, trades and metrics, beside vectorbt and backtesting.py.

`python -m benchmarks.bars.backtest`: bars of the simulated market, 2016 to 2025 (about 196,000). Ours does it all: it
checks coverage, finds the signals, simulates, resamples intervals. The peers are handed the finished signals and
simulate only; vectorbt is warmed up first. No peer can refuse a range with holes or say why.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.common import FOLDER, Contestant, arguments, race, result, show
from decide.bars.backtest import Resampling, simulate_trades
from decide.bars.bars import Bars
from decide.bars.inside_bar import find_signals
from decide.bars.rules import trade_windows
from decide.bars.run import BarResult, bar_strategies, run_bar_backtest, span_of
from decide.bars.sessions import M5, Sessions
from simulate.bars.market import Market, read_sessions, roll

ROOT = FOLDER.parent
SEEDS = ROOT / "seeds"
PEERS = FOLDER / ".peers-bars"
HOW = Resampling(0.9, 2_000, 7)


def rows(name: str) -> list[dict[str, str]]:
    with next(SEEDS.rglob(f"{name}.csv")).open() as handle:
        return list(csv.DictReader(handle))


def ten_years() -> dict[str, np.ndarray]:
    market = Market(read_sessions(SEEDS / "bars" / "sessions.csv"), ("FORE",), 7)
    sessions = [s for s in market.sessions if 2015 <= s.day.year <= 2025]
    bars = [bar for s in sessions for bar in roll(market.between("FORE", s.open, s.close - 1), M5)]
    names = ("ts", "open", "high", "low", "close", "volume")
    found = {name: np.array([getattr(bar, name) for bar in bars]) for name in names}
    return {"label": found.pop("ts"), **found}


def handed_over(columns: dict[str, np.ndarray], found: BarResult) -> dict[str, np.ndarray]:
    """What the peers get: rows of entry and exit, sides, stops and targets of every trade."""
    trades = [trade for trade in found.trades if trade.fill_at is not None]
    where = {int(label): row for row, label in enumerate(columns["label"])}
    levels = np.array([trade.signal.entry_price for trade in trades])
    stop = np.array([trade.signal.stop_price for trade in trades])
    target = np.array([trade.signal.take_profit_price for trade in trades])
    return {
        **columns,
        "entry_row": np.array([where[trade.fill_at] for trade in trades if trade.fill_at is not None]),
        "exit_row": np.array([np.searchsorted(columns["label"], trade.signal.valid_to) for trade in trades]),
        "side": np.array([1 if trade.signal.side == "BUY" else -1 for trade in trades]),
        "stop": stop,
        "target": target,
        "stop_share": np.abs(stop - levels) / levels,
        "target_share": np.abs(target - levels) / levels,
    }


def peers_python() -> str:
    python = PEERS / "bin" / "python"
    if not python.exists():
        print("installing the peers into benchmarks/.peers-bars", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        (PEERS / ".gitignore").write_text("*\n")
    wanted = [
        line.split()[0] for line in (FOLDER / "bars" / "peers.txt").read_text().splitlines() if line[:1].isalpha()
    ]
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"pip: {done.stderr.strip()[-300:]}")
    return str(python)


def main() -> None:
    parsed = arguments(__doc__ or "", rounds=5).parse_args()
    columns, sessions, strategy = ten_years(), Sessions.of(rows("sessions")), bar_strategies(rows("bar_strategies"))[0]
    span = span_of(date(2016, 1, 1), date(2025, 12, 31), "America/New_York")
    found = run_bar_backtest(columns, sessions, strategy, span, HOW)
    trades = sum(trade.fill_at is not None for trade in found.trades)
    bars = Bars.of(columns)
    windows = trade_windows(sessions, strategy.rules)
    counted: dict[str, int] = {"ours": trades}

    def whole() -> None:
        run_bar_backtest(columns, sessions, strategy, span, HOW)

    def core() -> None:
        signals = find_signals(bars, strategy.rules, windows).signals
        simulate_trades(bars, signals, sessions.closes, strategy.execution, strategy.rules.step)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.npz"
        np.savez(path, **handed_over(columns, found))

        def peer(name: str) -> float:
            python = peers_python()
            command = [python, str(FOLDER / "bars" / "peers.py"), name, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr.strip()[-300:])
            said = json.loads(done.stdout.splitlines()[-1])
            counted[name] = said["trades"]
            return float(said["seconds"])

        contestants = [
            Contestant("ours: gates, signals, trades, intervals", whole),
            Contestant("ours: signals and trades alone", core),
            Contestant("vectorbt: simulation of finished signals", lambda: peer("vectorbt")),
            Contestant("backtesting.py: the same", lambda: peer("backtesting.py")),
        ]
        started = time.perf_counter()
        race(contestants, parsed.rounds)
    facts = {"trades": counted, "status": found.status.value, "seconds_in_all": round(time.perf_counter() - started)}
    show(result("Ten years of M5 bars, one symbol", contestants, len(bars), "bars", **facts), parsed.json)


if __name__ == "__main__":
    main()
