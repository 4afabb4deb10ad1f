"""`foreshore strategy check`: a strategy proved on bars that were published, or on made ones where none are."""

from __future__ import annotations

from typing import Any

import numpy as np

from decide.bars.bars import Bars, combine
from decide.bars.proof import Proof, prove
from decide.bars.sessions import M5, Sessions
from decide.errors import DecisionError
from extract.bars.symbols import canonical
from extract.config import Config
from operate.bars.backtest import Asked, calendar, read_bars
from operate.bars.strategies import find_strategy
from operate.console import out, print_json, table
from operate.warehouse import Warehouse

MADE_SESSIONS, SEED = 30, 7


def check(config: Config, place: str, symbol: str | None, feed: str | None, as_json: bool) -> int:
    """Print every proof; exit code 0 when all hold, else 1."""
    strategy, sessions = find_strategy(config, place), calendar(config)
    step = strategy.rules.step
    if symbol is None:
        bars, told = made_bars(sessions, step), f"{MADE_SESSIONS} sessions of made bars"
    else:
        wanted: Any = Asked(canonical(symbol), None, None, None, feed=feed)  # type: ignore[arg-type]
        _, columns, _ = read_bars(Warehouse.of(config), wanted, strategy.rules.timeframe_minutes)
        bars, told = Bars.of(columns), f"{len(columns['label'])} bars of {symbol}"
    try:
        chosen = judged(sessions, bars, step, strategy.rules.warmup)
        proofs = prove(strategy.rules, bars, chosen, SEED)
    except DecisionError as error:
        proofs = [Proof("its orders are orders", False, str(error))]
    except Exception as error:  # the user's own code, named as such
        proofs = [Proof("it runs", False, f"{type(error).__name__}: {error}")]
    good = all(proof.holds for proof in proofs)
    if as_json:
        said = [{"proof": proof.name, "holds": proof.holds, "detail": proof.detail} for proof in proofs]
        print_json({"strategy": f"{strategy.key}@{strategy.version}", "bars": told, "holds": good, "proofs": said})
        return 0 if good else 1
    rows = [[p.name, "[green]holds[/green]" if p.holds else "[red]does not hold[/red]", p.detail] for p in proofs]
    out.print(
        table(f"{strategy.key}@{strategy.version} on {told}", ["proof", "verdict", "where"], rows, prose=["where"])
    )
    return 0 if good else 1


def judged(sessions: Sessions, bars: Bars, step: int, warmup: int) -> Sessions:
    """The sessions of the bars that have `warmup` bars before them."""
    first = int(bars.labels[min(warmup, len(bars) - 1)]) if len(bars) else 0
    last = int(bars.labels[-1]) + step if len(bars) else 0
    chosen = np.flatnonzero((sessions.opens >= first) & (sessions.closes <= last))
    if not len(chosen):
        raise DecisionError("these bars hold no whole session after the history that the strategy declares")
    return Sessions(sessions.opens[chosen], sessions.closes[chosen])


def made_bars(sessions: Sessions, step: int) -> Bars:
    """A seeded walk on a coarse grid over real sessions, so that ties and patterns are common."""
    some = slice(0, MADE_SESSIONS)
    labels = sessions.between(M5, int(sessions.opens[0]), int(sessions.closes[some][-1]) - 1)
    chance = np.random.default_rng(SEED)
    steps = chance.integers(-8, 9, size=(len(labels), 4)) * 0.05
    close = 100 + np.cumsum(steps[:, 0] / 4).round(2)
    opened = np.r_[100.0, close[:-1]]
    high = np.maximum(opened, close) + np.abs(steps[:, 1])
    low = np.minimum(opened, close) - np.abs(steps[:, 2])
    names = {"open": opened, "high": high, "low": low, "close": close}
    made = Bars.of({"label": labels, **names, "volume": np.full(len(labels), 1_000.0)})
    return combine(made, M5, step)
