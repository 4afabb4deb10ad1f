"""Peers of the sweep, run by their own interpreter: finished entries of some sets in (npz), seconds a set out."""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
COLUMNS = 100


def sets(data: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    names = ("entry_row", "entry_price", "side", "stop", "target", "last_row", "exit_row", "exit_price", "fills")
    return [{name: data[f"{name}_{n}"] for name in names} for n in range(int(data["sets"]))]


def share_of(price: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The share of `price` by which vectorbt comes to `level` without overshooting it.

    It keeps levels as shares: 53.17 * (1 + 0.37 / 53.17) is 53.540000000000006, which a high of 53.54 does not reach.
    """
    factor = level / price
    inward = np.where(level > price, -np.inf, np.inf)
    for _ in range(4):
        overshoots = np.where(level > price, price * factor > level, price * factor < level)
        factor = np.where(overshoots, np.nextafter(factor, inward), factor)
    return np.abs(factor - 1)


def frames(data: dict[str, np.ndarray], chosen: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """What `Portfolio.from_signals` takes, a column per set."""
    import pandas as pd

    index = pd.to_datetime(data["labels"], unit="s", utc=True)
    shape = (len(index), len(chosen))
    made = {name: np.zeros(shape, dtype=bool) for name in ("entries", "exits", "short_entries", "short_exits")}
    price = np.repeat(data["close"][:, None], shape[1], axis=1)
    stops, targets = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, one in enumerate(chosen):
        enter, long = one["entry_row"], one["side"] > 0
        made["entries"][enter[long], k] = True
        made["short_entries"][enter[~long], k] = True
        made["exits"][one["last_row"][long], k] = True
        made["short_exits"][one["last_row"][~long], k] = True
        price[enter, k] = one["entry_price"]
        stops[enter, k] = share_of(one["entry_price"], one["stop"])
        targets[enter, k] = share_of(one["entry_price"], one["target"])

    def framed(values: np.ndarray) -> Any:
        return pd.Series(values[:, 0], index) if shape[1] == 1 else pd.DataFrame(values, index)

    bars = {name: pd.Series(data[name], index) for name in ("open", "high", "low", "close")}
    flags = {name: framed(values) for name, values in made.items()}
    levels = {"price": framed(price), "sl_stop": framed(stops), "tp_stop": framed(targets)}
    how = {"init_cash": 10_000.0, "freq": "5min", "size": 10.0, "stop_entry_price": "fillprice"}
    return {**bars, **flags, **levels, **how}


def one_by_one(data: dict[str, np.ndarray]) -> dict[str, float]:
    import vectorbt as vbt

    chosen = sets(data)
    ready = [frames(data, [one]) for one in chosen]
    vbt.Portfolio.from_signals(**ready[0]).trades.records  # noqa: B018 - compiles
    started = time.process_time()
    for one in ready:
        vbt.Portfolio.from_signals(**one).trades.records  # noqa: B018
    seconds = (time.process_time() - started) / len(ready)
    same, count, fills = 0, 0, sum(int(one["fills"]) for one in chosen)
    for one, handed in zip(ready, chosen, strict=True):
        told = vbt.Portfolio.from_signals(**one).trades.records
        ours = dict(
            zip(handed["entry_row"].tolist(), zip(handed["exit_row"], handed["exit_price"], strict=True), strict=True)
        )
        count += len(ours)
        for row in told.itertuples():
            mine = ours.get(int(row.entry_idx))
            same += mine is not None and int(row.exit_idx) == mine[0] and abs(row.exit_price - mine[1]) < 1e-6
    return {"seconds": seconds, "fills": fills, "trades": count, "identical": int(same)}


def many(data: dict[str, np.ndarray]) -> dict[str, float]:
    import vectorbt as vbt

    chosen = sets(data)
    ready = frames(data, [chosen[n % len(chosen)] for n in range(COLUMNS)])
    vbt.Portfolio.from_signals(**ready).trades.records  # noqa: B018
    started = time.process_time()
    vbt.Portfolio.from_signals(**ready).trades.records  # noqa: B018
    return {"seconds": (time.process_time() - started) / COLUMNS}


def backtesting_py(data: dict[str, np.ndarray]) -> dict[str, float]:
    import pandas as pd
    from backtesting import Backtest, Strategy

    one = sets(data)[0]
    index = pd.to_datetime(data["labels"], unit="s")
    frame = pd.DataFrame({name.capitalize(): data[name] for name in ("open", "high", "low", "close")}, index=index)
    todo = {int(row) - 1: k for k, row in enumerate(one["entry_row"])}
    leave = {int(row) for row in one["last_row"]}

    class Breakout(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            row = len(self.data) - 1
            if row in leave:
                self.position.close()
            k = todo.get(row)
            if k is not None:
                stop, target = float(one["stop"][k]), float(one["target"][k])
                price = float(self.data.Close[-1])
                if min(stop, target) * 1.0005 < price < max(stop, target) / 1.0005:  # it refuses orders beyond them
                    (self.buy if one["side"][k] > 0 else self.sell)(size=10, sl=stop, tp=target)

    started = time.process_time()
    stats = Backtest(frame, Breakout, cash=10_000, finalize_trades=True).run()
    return {"seconds": time.process_time() - started, "trades": int(stats["# Trades"])}


def main() -> None:
    with np.load(sys.argv[2]) as loaded:
        data = dict(loaded)
    print(json.dumps({"one": one_by_one, "many": many, "backtesting": backtesting_py}[sys.argv[1]](data)))


if __name__ == "__main__":
    main()
