"""Peers of the bar backtest, run by their own interpreter: bars and finished signals in (npz), seconds and trades out.

They are given what ours has to find (signal bars, levels, stops, targets) and are timed on simulating it only, after a
warm-up run for whatever they compile.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def vectorbt(data: dict[str, np.ndarray]) -> tuple[float, int]:
    import pandas as pd
    import vectorbt as vbt

    index = pd.to_datetime(data["label"], unit="s", utc=True)
    frame = {name: pd.Series(data[name], index=index) for name in ("open", "high", "low", "close")}
    n = len(index)

    def flags(rows: np.ndarray) -> pd.Series:
        made = np.zeros(n, dtype=bool)
        made[rows] = True
        return pd.Series(made, index=index)

    enter = data["entry_row"]
    is_long = data["side"] > 0
    stops, targets = np.full(n, np.nan), np.full(n, np.nan)
    stops[enter], targets[enter] = data["stop_share"], data["target_share"]
    how = {
        "close": frame["close"], "open": frame["open"], "high": frame["high"], "low": frame["low"],
        "entries": flags(enter[is_long]), "short_entries": flags(enter[~is_long]),
        "exits": flags(data["exit_row"][is_long]), "short_exits": flags(data["exit_row"][~is_long]),
        "price": frame["open"], "sl_stop": pd.Series(stops, index=index), "tp_stop": pd.Series(targets, index=index),
        "slippage": 1e-4, "init_cash": 10_000.0, "freq": "5min",
    }  # fmt: skip
    vbt.Portfolio.from_signals(**how).trades.count()
    started = time.perf_counter()
    count = int(vbt.Portfolio.from_signals(**how).trades.count())
    return time.perf_counter() - started, count


def backtesting_py(data: dict[str, np.ndarray]) -> tuple[float, int]:
    import pandas as pd
    from backtesting import Backtest, Strategy

    index = pd.to_datetime(data["label"], unit="s")
    names = ("open", "high", "low", "close")
    frame = pd.DataFrame({name.capitalize(): data[name] for name in names}, index=index)
    todo = {int(row) - 1: k for k, row in enumerate(data["entry_row"])}
    leave = {int(row) - 1 for row in data["exit_row"]}

    class Breakout(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            row = len(self.data) - 1
            if row in leave:
                for order in self.orders:
                    order.cancel()
                self.position.close()
            k = todo.get(row)
            if k is not None:
                stop, target = float(data["stop"][k]), float(data["target"][k])
                place = self.buy if data["side"][k] > 0 else self.sell
                price = float(self.data.Close[-1])
                if min(stop, target) * 1.0005 < price < max(stop, target) / 1.0005:  # it refuses orders beyond them
                    place(size=10, sl=stop, tp=target)

    started = time.perf_counter()
    stats = Backtest(frame, Breakout, cash=10_000, spread=1e-4, finalize_trades=True).run()
    return time.perf_counter() - started, int(stats["# Trades"])


def main() -> None:
    with np.load(sys.argv[2]) as loaded:
        data = dict(loaded)
    seconds, trades = {"vectorbt": vectorbt, "backtesting.py": backtesting_py}[sys.argv[1]](data)
    print(json.dumps({"seconds": seconds, "trades": trades}))


if __name__ == "__main__":
    main()
