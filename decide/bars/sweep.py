"""Many parameter sets on one series: every try counted, and beside the best what chance and time leave of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from decide.bars.backtest import FILLED, Book, Execution, in_order, keep_book, money
from decide.bars.bars import Bars
from decide.bars.inside_bar import legs, trace
from decide.bars.orders import Orders
from decide.bars.patterns import Series
from decide.bars.promotable import SESSIONS_PER_YEAR, daily_returns, deflated_sharpe, sharpe
from decide.bars.rules import Rules, Windows, trade_windows
from decide.bars.run import BarStrategy
from decide.bars.sessions import Sessions
from decide.bars.strategy import AnyRules, find
from decide.bars.ticks import Flags, Floats, Ints
from decide.errors import DecisionError

FOLDS = 5  # parts of the sessions: the first only trains, each later one is tried on what the parts before it chose
MOST_SETS = 100_000


@dataclass(frozen=True)
class Try:
    """One parameter set: what was changed, and what it earned. `returns` (S,) per session."""

    changes: Mapping[str, str]
    figures: Mapping[str, Any]
    returns: Floats


@dataclass(frozen=True)
class SweepResult:
    """All tries, best first by Sharpe ratio, with what the best is worth."""

    tries: tuple[Try, ...]
    deflated: float  # probability that the best is more than luck
    walk_forward: tuple[Mapping[str, Any], ...]  # per fold: what the folds before chose, and what it then did


def parse_grid(texts: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of `NAME=a,b,c` and `NAME=first:last:step`; DecisionError says what cannot be read."""
    axes = [[(name, value) for value in values] for name, values in map(_axis, texts)]
    count = int(np.prod([len(axis) for axis in axes])) if axes else 0
    if not 0 < count <= MOST_SETS:
        raise DecisionError(f"a sweep of {count:,} sets: name at least one axis, and at most {MOST_SETS:,} sets in all")
    return [dict(chosen) for chosen in product(*axes)]


def _axis(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise DecisionError(f"--sweep {text}: write NAME=a,b,c or NAME=first:last:step")
    if ":" not in values or "-" in values:
        return name, values.split(",")
    try:
        first, last, *step = (float(part) for part in values.split(":"))
        size = step[0] if step else 1.0
        steps = np.arange(first, last + size / 2, size)
    except (ValueError, ZeroDivisionError, IndexError):
        raise DecisionError(f"--sweep {text}: write NAME=first:last:step with numbers") from None
    return name, [f"{value:.10g}" for value in steps]


Usable = Callable[[Orders, AnyRules], Flags]  # which orders rest on whole history
Sets = Sequence[tuple[Mapping[str, str], BarStrategy]]  # what is changed, and the strategy with it


def run_sweep(bars: Bars, sessions: Sessions, sets: Sets, usable: Usable) -> SweepResult:
    """Every set over `sessions` (the ones to judge), judged."""
    return judge_tries(try_sets(bars, sessions, sets, usable))


def try_sets(bars: Bars, sessions: Sessions, sets: Sets, usable: Usable) -> list[Try]:
    """Every set over `sessions`, in the order given; a set's try does not depend on the others."""
    asked = _Asked(bars, sessions)
    tries = []
    for changes, strategy in sets:
        rules, rule = strategy.rules, strategy.execution
        orders = asked.orders(rules, rule.entry_order)
        orders = replace(orders, is_order=orders.is_order & usable(orders, rules))
        book = keep_book(bars, orders, sessions.closes, rule, rules.step)
        tries.append(_try(changes, book, bars, sessions.closes, rule))
    return tries


class _Asked:
    """What sets of parameters ask for on one series; what they share is worked out once."""

    def __init__(self, bars: Bars, sessions: Sessions) -> None:
        self._bars, self._sessions, self._series = bars, sessions, Series(bars)
        self._windows: dict[tuple[str, str], Windows] = {}

    def orders(self, rules: AnyRules, entry_order: str) -> Orders:
        """The orders of the seed's rules as columns at once, of a file of one's own close by close."""
        if not isinstance(rules, Rules):
            return Orders.of(in_order(find(rules, self._bars, self._sessions).signals), entry_order)
        key = (rules.market_tz, rules.session_filter)
        if key not in self._windows:
            self._windows[key] = trade_windows(self._sessions, rules)
        windows = self._windows[key]
        return legs(self._series, rules, windows, trace(self._series, rules, windows), entry_order).orders


def _try(changes: Mapping[str, str], book: Book, bars: Bars, closes: Ints, rule: Execution) -> Try:
    net = book.net_usd[book.order]
    equity = np.r_[rule.initial_equity_usd, book.equity_usd[book.order]]
    returns = daily_returns(bars.labels[book.exit_row[book.order]], net, closes, rule.initial_equity_usd)
    is_filled = book.outcome == FILLED
    figures = money(net, equity, float(book.gross_usd[is_filled].sum()), float(book.cost_usd[is_filled].sum()))
    figures["signals"] = len(book.outcome)
    figures["sharpe"] = sharpe(returns) * SESSIONS_PER_YEAR**0.5
    return Try(dict(changes), figures, returns)


def judge_tries(tries: Sequence[Try]) -> SweepResult:
    """All tries of a sweep, in its own order, put in order of merit; the best one doubted."""
    returns = np.stack([one.returns for one in tries])
    ratios = np.array([sharpe(row) for row in returns])
    order = np.lexsort((np.arange(len(tries)), -ratios))
    best = int(order[0])
    return SweepResult(
        tries=tuple(tries[place] for place in order.tolist()),
        deflated=deflated_sharpe(returns[best], ratios),
        walk_forward=tuple(_walk(tries, returns)),
    )


def _walk(tries: Sequence[Try], returns: Floats) -> Iterator[Mapping[str, Any]]:
    """For every fold but the first: the best set of all sessions before it, and what that did within it."""
    edges = np.linspace(0, returns.shape[1], FOLDS + 1).astype(int).tolist()
    for fold in range(1, FOLDS):
        before, begin, end = edges[fold], edges[fold], edges[fold + 1]
        if before < 2 or end <= begin:
            continue
        past = np.array([sharpe(row[:before]) for row in returns])
        chosen = int(np.argmax(past))
        after = returns[chosen, begin:end]
        yield {
            "fold": fold,
            "sessions_before": before,
            "sessions": end - begin,
            "changes": dict(tries[chosen].changes),
            "sharpe_before": float(past[chosen]) * SESSIONS_PER_YEAR**0.5,
            "sharpe": sharpe(after) * SESSIONS_PER_YEAR**0.5,
            "return_share": float(np.prod(1 + after) - 1),
        }
