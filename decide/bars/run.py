"""One backtest of bars: gates first, then signals, trades, metrics. Statuses and reasons as a promotion reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from decide.bars.actions import UNADJUSTED_SPLIT, JumpRule, Split, find_as_of, turns
from decide.bars.backtest import Execution, Resampling, Trade, metrics, simulate_trades, with_bands
from decide.bars.bars import PRICES, Bars, Ints
from decide.bars.history import Window, find_gaps
from decide.bars.orders import Orders, Rejection, Signal
from decide.bars.promotable import SESSIONS_PER_YEAR, daily_returns, sharpe
from decide.bars.rules import Rules, parse_record
from decide.bars.sessions import DAY, Sessions
from decide.bars.strategy import AnyRules, OwnRules, bars_needed
from decide.bars.ticks import Flags
from decide.errors import DecisionError

MOST_GAPS = 20  # gaps named one by one; their number is always given


class RunStatus(StrEnum):
    """SUCCESS can be promoted. FAILED_PRECONDITION: the data does not allow a result. ERROR: the run itself broke."""

    SUCCESS = "SUCCESS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Gates:
    """What the data must hold; rows `gate` of the `bar_strategies` seed."""

    min_coverage_share: float
    warn_coverage_share: float
    max_no_trade_slots: int


@dataclass(frozen=True)
class BarStrategy:
    """A strategy at a version: rules, execution and gates."""

    key: str
    version: str
    rules: AnyRules
    execution: Execution
    gates: Gates


def bar_strategies(rows: Sequence[Mapping[str, Any]]) -> list[BarStrategy]:
    """The `bar_strategies` seed, in its order; DecisionError names a parameter that is missing or wrong."""
    grouped: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        kinds = grouped.setdefault(
            (row["strategy_key"], row["impl_version"]), {"rule": {}, "execution": {}, "gate": {}}
        )
        kinds[row["kind"]][row["parameter"]] = row["value"]
    return [
        BarStrategy(
            key,
            version,
            Rules.of(kinds["rule"]),
            Execution.of(kinds["execution"]),
            parse_record(Gates, kinds["gate"]),
        )
        for (key, version), kinds in grouped.items()
    ]


def strategy_of(key: str, version: str, params: Mapping[str, Any]) -> BarStrategy:
    """A strategy from what a manifest holds of it; DecisionError or KeyError where that is not whole."""
    values = params["rules"]
    rules: AnyRules
    if "source" in values:
        ticks = {name.upper(): values[name] for name in ("tick_size", "tick_size_below_dollar") if name in values}
        rules = OwnRules.of(values["source"], values["parameters"], ticks)
    else:
        rules = Rules.of(values)
    gates = parse_record(Gates, params["gates"])
    return BarStrategy(key, version, rules, Execution.of(params["execution"]), gates)


@dataclass(frozen=True)
class Actions:
    """What is known of a series besides its bars: splits, and when a jump is one that was not told."""

    splits: tuple[Split, ...] = ()
    rule: JumpRule | None = None


NO_ACTIONS = Actions()


@dataclass(frozen=True)
class BarResult:
    """Everything a run says. Signals, rejections, trades and metrics are empty unless it is a SUCCESS."""

    status: RunStatus
    reason: str = ""  # DATA_COVERAGE_GAP, DATA_SLA_FAILED, CALENDAR_OUT_OF_RANGE
    details: str = ""
    coverage: Mapping[str, Any] = field(default_factory=dict)
    sla: Mapping[str, Any] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    trades: tuple[Trade, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


def span_of(first: date, last: date, market_tz: str) -> tuple[int, int]:
    """First and last second of the local days first..last, both included; DecisionError when last is before first."""
    if last < first:
        raise DecisionError(f"the range {first} to {last} ends before it begins")
    zone = ZoneInfo(market_tz)
    starts = int(datetime.combine(first, time.min, zone).timestamp())
    return starts, int(datetime.combine(last, time.max, zone).timestamp())


def run_bar_backtest(
    columns: Mapping[str, Any],
    sessions: Sessions,
    strategy: BarStrategy,
    span: tuple[int, int],
    resampling: Resampling,
    actions: Actions = NO_ACTIONS,
) -> BarResult:
    """Backtest `columns` (label, open, high, low, close, volume; the strategy's timeframe) over sessions in `span`.

    Bars before the span serve as warm-up; rows outside the sessions' grid are dropped and counted. Bars are raw:
    `actions` says which splits there were.
    """
    rules, step = strategy.rules, strategy.rules.step
    chosen = np.flatnonzero((sessions.opens >= span[0]) & (sessions.opens <= span[1]))
    last_day = span[1] - DAY + 1
    if span[0] < sessions.known_from or last_day >= sessions.known_until or not len(chosen):
        return _refused("CALENDAR_OUT_OF_RANGE", "the range holds no session, or reaches beyond the sessions seed")
    first, last = int(sessions.opens[chosen[0]]), int(sessions.closes[chosen[-1]])
    start, stop = sessions.closed(step, first), sessions.closed(step, last)
    if start < rules.warmup:
        return _refused("CALENDAR_OUT_OF_RANGE", f"the sessions seed has no {rules.warmup} bars before the range")
    grid = sessions.labels(step, start - rules.warmup, stop)
    columns, dropped = _on_grid(columns, grid)
    coverage = _coverage(columns["label"], grid[rules.warmup :], strategy.gates)
    coverage |= {"rows_outside_grid": dropped, "effective_range": [first, last], "sessions": len(chosen)}
    sla = _sla(columns, grid, rules, strategy.gates, coverage["share"])
    if coverage["status"] == "FAIL":
        detail = f"{coverage['missing']} of {coverage['expected']} bars are missing"
        return _refused("DATA_COVERAGE_GAP", detail, coverage, sla)
    if not sla["passed"]:
        return _refused("DATA_SLA_FAILED", "; ".join(sla["fatal_violations"]), coverage, sla)
    bars = Bars.of(columns)
    turned = turns(bars, sessions, actions.splits, actions.rule)
    found = find_as_of(rules, bars, _only(sessions, chosen), turned.splits)
    signals = mark_gaps(found.signals, bars.labels, grid, sessions, strategy)
    signals = mark_jumps(signals, grid, sessions, strategy, turned.jumps)
    trades = simulate_trades(bars, signals, sessions.closes, strategy.execution, step)
    figures = metrics(trades, len(chosen), strategy.execution, resampling)
    figures["sharpe"] = _sharpe(trades, sessions.closes[chosen], strategy.execution.initial_equity_usd)
    return BarResult(
        RunStatus.SUCCESS,
        coverage=coverage | {"splits_applied": len(turned.splits), "unadjusted_splits": list(turned.jumps)},
        sla=sla,
        signals=signals,
        rejections=found.rejections,
        trades=tuple(with_bands(trades, strategy.execution, resampling)),
        metrics=figures,
    )


def _sharpe(trades: Sequence[Trade], closes: Ints, initial_equity_usd: float) -> float:
    """Sharpe ratio per year of the sessions' returns."""
    filled = sorted((trade for trade in trades if trade.exit_at is not None), key=lambda trade: trade.fill_at or 0)
    exit_at = np.array([trade.exit_at for trade in filled], dtype=np.int64)
    net = np.array([trade.net_usd for trade in filled])
    return float(sharpe(daily_returns(exit_at, net, closes, initial_equity_usd)) * SESSIONS_PER_YEAR**0.5)


def _refused(reason: str, details: str, coverage: Any = None, sla: Any = None) -> BarResult:
    return BarResult(RunStatus.FAILED_PRECONDITION, reason, details, coverage or {}, sla or {})


def _only(sessions: Sessions, chosen: Ints) -> Sessions:
    return Sessions(sessions.opens[chosen], sessions.closes[chosen])


def _on_grid(columns: Mapping[str, Any], grid: Ints) -> tuple[dict[str, Any], int]:
    """The rows that are bars of the grid, in order of label, and how many within its reach are not."""
    labels = np.asarray(columns["label"], dtype=np.int64)
    within = (labels >= grid[0]) & (labels <= grid[-1])
    kept = np.flatnonzero(within & np.isin(labels, grid))
    kept = kept[np.argsort(labels[kept], kind="stable")]
    names = ("open", "high", "low", "close", "volume")
    arrays = {name: np.asarray(columns[name], dtype=np.float64)[kept] for name in names}
    return {"label": labels[kept], **arrays}, int(within.sum()) - len(kept)


def _coverage(labels: Ints, expected: Ints, gates: Gates) -> dict[str, Any]:
    gaps = find_gaps(Window(int(expected[-1]), len(expected), expected, is_open=False), labels)
    missing = sum(gap.count for gap in gaps)
    share = 1 - missing / len(expected)
    return {
        "status": "PASS" if share >= gates.min_coverage_share else "FAIL",
        "expected": len(expected),
        "missing": missing,
        "share": share,
        "cached_range": [int(labels[0]), int(labels[-1])] if len(labels) else None,
        "gap_count": len(gaps),
        "gaps": [{"first": gap.first, "last": gap.last, "count": gap.count} for gap in gaps[:MOST_GAPS]],
    }


def _sla(columns: Mapping[str, Any], grid: Ints, rules: AnyRules, gates: Gates, share: float) -> dict[str, Any]:
    """Fatal: repeated labels, bars that are none, a lookback that is not whole. Warning: some bars missing."""
    labels = columns["label"]
    fatal = []
    repeated = int((np.diff(labels) == 0).sum())
    if repeated:
        fatal.append(f"no_dupe_index: {repeated} labels repeat")
    prices = np.vstack([columns[name] for name in PRICES])
    unknown = int((~np.isfinite(prices)).any(axis=0).sum())
    if unknown:
        fatal.append(f"no_nan_ohlc: {unknown} bars lack a price")
    wrong = int(((prices[1] < prices.max(axis=0)) | (prices[2] > prices.min(axis=0)) | (prices <= 0).any(axis=0)).sum())
    if wrong and not unknown:
        fatal.append(f"ohlc_in_order: {wrong} bars contradict themselves")
    absent = int((~np.isin(grid[: rules.warmup], labels)).sum())
    if absent:
        fatal.append(f"lookback_complete: {absent} of the {rules.warmup} bars before the range are missing")
    low = share < gates.warn_coverage_share
    warnings = [f"completeness: {share:.4f} is below {gates.warn_coverage_share}"] if low else []
    return {
        "checked_timeframe_minutes": rules.timeframe_minutes,
        "passed": not fatal,
        "fatal_violations": fatal,
        "warning_violations": warnings,
    }


def mark_gaps(
    signals: Sequence[Signal], labels: Ints, grid: Ints, sessions: Sessions, strategy: BarStrategy
) -> tuple[Signal, ...]:
    """Signals whose required history is not whole get the reason `history_gap`: live, there would have been none.

    `grid`: every expected label, ascending, from `warmup` bars before the first session on.
    """
    if not signals:
        return ()
    missing = np.r_[0, np.cumsum(~np.isin(grid, labels))]
    begins, ends = _needed(_triggers(signals), grid, sessions, strategy.rules)
    return _marked(signals, missing[ends] - missing[begins] > strategy.gates.max_no_trade_slots, "history_gap")


def mark_jumps(
    signals: Sequence[Signal], grid: Ints, sessions: Sessions, strategy: BarStrategy, jumps: Sequence[int]
) -> tuple[Signal, ...]:
    """Signals whose required history lies on both sides of a jump that looks like a split and has no action."""
    if not signals or not jumps:
        return tuple(signals)
    begins, ends = _needed(_triggers(signals), grid, sessions, strategy.rules)
    return _marked(signals, _is_torn(jumps, grid, begins, ends), UNADJUSTED_SPLIT)


def _is_torn(jumps: Sequence[int], grid: Ints, begins: Ints, ends: Ints) -> Flags:
    """Which spans of the grid lie on both sides of a jump; one at their first bar has nothing on its other side."""
    at = np.sort(np.searchsorted(grid, np.array(jumps, dtype=np.int64)))
    return np.asarray(np.searchsorted(at, ends, side="left") > np.searchsorted(at, begins, side="right"))


def _triggers(signals: Sequence[Signal]) -> Ints:
    return np.array([signal.trigger_at for signal in signals], dtype=np.int64)


def _needed(triggers: Ints, grid: Ints, sessions: Sessions, rules: AnyRules) -> tuple[Ints, Ints]:
    """First and one past the last place in `grid` of the bars that each signal needs."""
    opened = sessions.opens[np.searchsorted(sessions.opens, triggers, side="right") - 1]
    ends = np.searchsorted(grid, triggers) + 1
    so_far = (triggers - opened) // rules.step + 1
    counts = np.array([bars_needed(rules, count) for count in so_far.tolist()], dtype=np.int64)
    return np.maximum(0, ends - counts), ends


def _marked(signals: Sequence[Signal], flags: Any, reason: str) -> tuple[Signal, ...]:
    return tuple(
        replace(signal, reason=signal.reason or reason) if is_marked else signal
        for signal, is_marked in zip(signals, flags.tolist(), strict=True)
    )


@dataclass(frozen=True)
class WholeHistory:
    """Which orders rest on history that is whole. `grid` (G,): labels that should be there; `missing` (G + 1,): how
    many of them are not, before each; `jumps`: labels of bars after what looks like a split; `allowed`: slots that may
    lack.
    """

    grid: Ints
    missing: Ints
    sessions: Sessions
    jumps: tuple[int, ...]
    allowed: int

    def __call__(self, orders: Orders, rules: AnyRules) -> Flags:
        if not (self.missing[-1] or self.jumps) or not len(orders):
            return np.ones(len(orders), np.bool_)
        begins, ends = _needed(orders.trigger_at, self.grid, self.sessions, rules)
        lacking = self.missing[ends] - self.missing[begins]
        return np.asarray((lacking <= self.allowed) & ~_is_torn(self.jumps, self.grid, begins, ends))


def whole_orders(
    columns: Mapping[str, Any],
    sessions: Sessions,
    strategy: BarStrategy,
    span: tuple[int, int],
    jumps: Sequence[int] = (),
) -> tuple[Bars, Sessions, WholeHistory]:
    """Checked bars, the sessions to judge, and which orders rest on history that is whole; as `run_bar_backtest` does.

    `strategy`: the one with the longest warm-up of those that are to be run on them. `jumps`: labels of the bars after
    what looks like a split and has no action; history on both sides of one is not whole.
    """
    rules = strategy.rules
    chosen = np.flatnonzero((sessions.opens >= span[0]) & (sessions.opens <= span[1]))
    first, last = int(sessions.opens[chosen[0]]), int(sessions.closes[chosen[-1]])
    start, stop = sessions.closed(rules.step, first), sessions.closed(rules.step, last)
    grid = sessions.labels(rules.step, start - rules.warmup, stop)
    bars = Bars.of(_on_grid(columns, grid)[0])
    missing = np.r_[0, np.cumsum(~np.isin(grid, bars.labels))]
    usable = WholeHistory(grid, missing, sessions, tuple(jumps), strategy.gates.max_no_trade_slots)
    return bars, _only(sessions, chosen), usable


def bars_hash(columns: Mapping[str, Any]) -> str:
    """SHA-256 over labels and values as little-endian 64-bit words, column by column: the identity of an input."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(columns["label"], dtype="<i8").tobytes())
    for name in ("open", "high", "low", "close", "volume"):
        digest.update(np.ascontiguousarray(columns[name], dtype="<f8").tobytes())
    return digest.hexdigest()
