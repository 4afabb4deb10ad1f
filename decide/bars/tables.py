"""The bar backtest on the warehouse's tables: every strategy of the seed on every series, rows in, rows out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decide.bars.actions import JumpRule, Split
from decide.bars.backtest import Resampling, trade_row
from decide.bars.bars import Ints
from decide.bars.run import Actions, BarResult, BarStrategy, bar_strategies, run_bar_backtest, strategy_of
from decide.bars.sessions import Sessions
from decide.bars.strategy import for_security
from decide.bars.ticks import MICROS
from decide.columns import floats, groups
from decide.errors import DecisionError
from decide.once import Answers, Kept, digest
from decide.thresholds import Rows, thresholds

SERIES = ["symbol", "feed"]
RUN = ["rules_hash", *SERIES]
VALUES = ("open", "high", "low", "close", "volume")
UTC = pa.timestamp("us", "UTC")


def params(strategy: BarStrategy) -> dict[str, Any]:
    """Every parameter by kind, as a manifest holds them."""
    return {
        "rules": strategy.rules.as_params(),
        "execution": asdict(strategy.execution),
        "gates": asdict(strategy.gates),
    }


def canonical_hash(value: Any) -> str:
    """SHA-256 of a JSON value with sorted keys and no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def rules_hash(strategy: BarStrategy) -> str:
    """Identity of what decides a signal: strategy, version and rules (not execution, not gates)."""
    return canonical_hash([strategy.key, strategy.version, strategy.rules.as_params()])


def bar_columns(table: pa.Table) -> dict[str, Any]:
    """A run's input from rows with `bar_at` and prices; labels in unix seconds."""
    labels = pc.divide(pc.cast(table["bar_at"].cast(UTC), pa.int64()), 1_000_000).to_numpy()
    return {"label": np.asarray(labels, dtype=np.int64), **{name: floats(table, name) for name in VALUES}}


def whole_span(labels: Ints, sessions: Sessions, step: int) -> tuple[int, int] | None:
    """The sessions that may be judged: after the first one that data touch, up to the last that closed; None: none."""
    first = int(np.searchsorted(sessions.opens, int(labels.min()), side="right"))
    last = int(np.searchsorted(sessions.closes, int(labels.max()) + step, side="right")) - 1
    if first > last:
        return None
    return int(sessions.opens[first]), int(sessions.closes[last])


def split_of(row: Mapping[str, Any]) -> Split:
    """From a row of `bars_corporate_actions`."""
    ex_at: Any = row["ex_at"]
    moment = ex_at if isinstance(ex_at, int | np.integer) else int(ex_at.timestamp())
    shares = (Fraction(repr(float(row[name]))) for name in ("old_shares", "new_shares"))
    return Split(int(moment), *shares)


def bar_run_tables(
    m5: pa.Table,
    m15: pa.Table,
    seed: Rows,
    calendar: Sequence[Rows],
    constants: Rows,
    actions: Rows = (),
    ticks: Rows = (),
    promoted: Rows = (),
    kept: pa.Table | None = None,
    code: str = "",
) -> pa.Table:
    """One row per rules, symbol and feed (SCHEMA, sealed), their signals with what became of them nested.

    The seed's strategies run on every series. `promoted` (rows of `stg_pre_paper__runs`) are what live runs ran, also
    where the seed does not know it: another version, changed parameters, a file of one's own; on their symbols only.
    `kept` is this table as an earlier build left it, `code` the version of what computes: a run that rests on the same
    bars, sessions, parameters and code is taken over as it stands. Sessions after its last bar are none of its inputs.
    """
    sessions = Sessions.of(*calendar)
    values = thresholds(constants)
    how, jumps = Resampling.of(values), JumpRule.of(values)
    done: set[tuple[str, str, str]] = set()
    tables = {minutes: dict(_series(table)) for minutes, table in ((5, m5), (15, m15))}
    answers = Answers(Kept(kept, SCHEMA, RUN), SCHEMA)
    for job in jobs(seed, promoted):
        for series, columns in tables.get(job.strategy.rules.timeframe_minutes, {}).items():
            strategy = on_security(job.strategy, ticks, series[0])
            key = (rules_hash(strategy), *series)
            if not job.wants(series) or key in done:
                continue
            done.add(key)
            span = whole_span(columns["label"], sessions, strategy.rules.step)
            if span is None:
                continue
            splits = tuple(split_of(row) for row in actions if (row["symbol"], row["feed"]) == series)
            past = sessions.opens <= span[1]
            calendar_then = span, sessions.opens[past], sessions.closes[past]
            inputs = digest(code, strategy, job.is_seeded, how, jumps, repr(splits), columns, calendar_then)
            where = answers.kept.find(key, inputs)
            if where is not None:
                answers.keep(where)
                continue
            result = run_bar_backtest(columns, sessions, strategy, span, how, Actions(splits, jumps))
            row = _row(series, strategy, span, result) | {"is_seeded": job.is_seeded}
            answers.add(pa.Table.from_pylist([row], schema=SCHEMA), inputs)
    return answers.table()


@dataclass(frozen=True)
class Job:
    """A strategy and the (symbol, feed) it is run on (None: all)."""

    strategy: BarStrategy
    series: frozenset[tuple[str, str]] | None
    is_seeded: bool

    def wants(self, series: tuple[str, str]) -> bool:
        return self.series is None or series in self.series


def jobs(seed: Rows, promoted: Rows) -> list[Job]:
    """The seed's strategies on every series, then what live runs ran, on theirs."""
    return [*(Job(strategy, None, True) for strategy in bar_strategies(seed)), *_promoted(promoted)]


def _promoted(rows: Rows) -> Iterator[Job]:
    """What live runs ran; a run that this version cannot read any more is left out: its parity says `unknown_rules`."""
    for row in rows:
        try:
            strategy = strategy_of(str(row["strategy_key"]), str(row["impl_version"]), json.loads(str(row["params"])))
        except (DecisionError, KeyError, TypeError, ValueError):
            continue
        yield Job(strategy, frozenset((s, str(row["feed"])) for s in str(row["symbols"]).split(",")), False)


def on_security(strategy: BarStrategy, ticks: Rows, symbol: str) -> BarStrategy:
    """The strategy with the ticks that rows of the `security_ticks` seed give the symbol."""
    for row in ticks:
        if row["symbol"] == symbol:
            sizes = float(row["tick_size_usd"]), float(row["tick_size_below_dollar_usd"])
            return replace(strategy, rules=for_security(strategy.rules, *sizes))
    return strategy


def _series(table: pa.Table) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for (symbol, feed), rows in groups(table, SERIES, ["bar_at"]):
        yield (symbol, feed), bar_columns(rows)


def _row(series: tuple[str, str], strategy: BarStrategy, span: tuple[int, int], result: BarResult) -> dict[str, Any]:
    figures: Mapping[str, Any] = result.metrics
    plain = {name: figures.get(name) for name in ("sessions", "trades", "wins", *FIGURES)}
    mean = figures.get("mean_r", {})
    return {
        "strategy_key": strategy.key,
        "impl_version": strategy.version,
        "rules_hash": rules_hash(strategy),
        "symbol": series[0],
        "feed": series[1],
        "timeframe_minutes": strategy.rules.timeframe_minutes,
        "tick_size_usd": strategy.rules.ticks.from_dollar / MICROS,
        "tick_size_below_dollar_usd": strategy.rules.ticks.below_dollar / MICROS,
        "from_at": _micros(span[0]),
        "to_at": _micros(span[1]),
        "run_status": result.status.value,
        "failure_reason": result.reason or None,
        "failure_details": result.details or None,
        "coverage_share": result.coverage.get("share"),
        "missing_bars": result.coverage.get("missing"),
        "signal_count": len(result.signals),
        **plain,
        "mean_r": mean.get("estimate"),
        "mean_r_low": mean.get("low"),
        "mean_r_high": mean.get("high"),
        "interval_reason": mean.get("reason"),
        "signals": [_signal_row(trade_row(trade)) for trade in result.trades],
    }


def _signal_row(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: _micros(row[name]) for name in TIMES if row[name] is not None}
    return {**row, **times, "reason": row["reason"] or None}


def _micros(seconds: int) -> int:
    return seconds * 1_000_000


def _named(kind: pa.DataType, names: Sequence[str]) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


TIMES = ("mother_at", "inside_at", "trigger_at", "signal_at", "valid_from", "valid_to", "exit_by", "fill_at", "exit_at")
SIGNAL_PRICES = [
    "entry_price",
    "stop_price",
    "take_profit_price",
    "mother_high",
    "mother_low",
    "inside_high",
    "inside_low",
    "atr",
    "fill_price",
    "exit_price",
    "gross_usd",
    "cost_usd",
    "net_usd",
    "r_multiple",
    "equity_usd",
    "equity_low_usd",
    "equity_high_usd",
]
FIGURES = (
    *("win_share", "gross_usd", "cost_usd", "net_usd", "profit_factor", "return_share", "max_drawdown_share"),
    "sharpe",
)
SIGNAL = pa.struct(
    _named(pa.string(), ["side", "entry_order", "reason", "outcome", "exit_reason"])
    + _named(pa.float64(), SIGNAL_PRICES)
    + _named(pa.int64(), ["quantity"])
    + _named(UTC, TIMES)
)
SCHEMA = pa.schema(
    _named(pa.string(), ["strategy_key", "impl_version", "rules_hash", "symbol", "feed"])
    + _named(pa.bool_(), ["is_seeded"])
    + _named(pa.float64(), ["tick_size_usd", "tick_size_below_dollar_usd"])
    + _named(pa.int64(), ["timeframe_minutes"])
    + _named(pa.string(), ["run_status", "failure_reason", "failure_details"])
    + _named(pa.float64(), ["coverage_share"])
    + _named(pa.int64(), ["missing_bars", "signal_count", "sessions", "trades", "wins"])
    + _named(pa.float64(), [*FIGURES, "mean_r", "mean_r_low", "mean_r_high"])
    + _named(pa.string(), ["interval_reason"])
    + _named(UTC, ["from_at", "to_at"])
    + [pa.field("signals", pa.list_(SIGNAL))]
)
