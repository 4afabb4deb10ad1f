"""`foreshore backtest bars`: one series, one strategy, a run folder with the manifest that pre-paper takes."""

from __future__ import annotations

import csv
import io
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from decide.bars.actions import JumpRule, Split
from decide.bars.backtest import Resampling, trade_row
from decide.bars.promotable import PROMOTABLE, PromotionGates, judge
from decide.bars.run import Actions, BarResult, BarStrategy, RunStatus, bars_hash, run_bar_backtest, span_of
from decide.bars.sessions import Sessions
from decide.bars.strategy import OwnRules
from decide.bars.tables import bar_columns, canonical_hash, params, split_of
from extract.bars.symbols import canonical
from extract.config import Config
from extract.errors import RequestError
from extract.evm.redact import redact
from extract.seeds import read_seed
from operate.bars import strategies
from operate.bars.artifacts import artifacts_root, json_bytes, sha256, write_folder
from operate.bars.manifest import MANIFEST, Promotion, build_manifest
from operate.console import out, print_json, table
from operate.version import checkout_commit
from operate.warehouse import Warehouse, query, read_tables

TABLES = {5: "bars_m5", 15: "bars_m15"}
TIMEFRAMES = {"M5": 5, "M15": 15}


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    symbol: str
    timeframe: str | None  # M5 or M15; None: the strategy's own
    first: date
    last: date
    strategy: str | None = None  # KEY, KEY@VERSION or a .py file
    feed: str | None = None
    changes: tuple[str, ...] = ()  # NAME=VALUE


def calendar(config: Config) -> Sessions:
    """The sessions seed with its overrides."""
    return Sessions.of(read_seed(config.seeds, "bars/sessions"), read_seed(config.seeds, "bars/session_overrides"))


def constants(config: Config) -> Resampling:
    rows = read_seed(config.seeds, "thresholds")
    return Resampling.of({row["threshold"]: float(row["value"]) for row in rows})


def has_table(warehouse: Warehouse, name: str) -> bool:
    """Whether what was published has a table: a warehouse of an older version may lack one."""
    found = query(warehouse, f"select 1 from information_schema.tables where table_name = '{name}' limit 1")[1]
    return bool(found)


def conditions(config: Config) -> JumpRule:
    """When a jump looks like a split."""
    return JumpRule.of({row["threshold"]: float(row["value"]) for row in read_seed(config.seeds, "thresholds")})


def gates_of(config: Config) -> PromotionGates:
    return PromotionGates.of(read_seed(config.seeds, "bars/promotion_gates"))


def find_strategy(config: Config, asked: Asked) -> BarStrategy:
    """The strategy with the timeframe and the changes asked for, on the ticks of the security."""
    found = strategies.find_strategy(config, asked.strategy)
    changed = strategies.change(with_timeframe(found, asked.timeframe), dict(p.split("=", 1) for p in asked.changes))
    return strategies.on_security(config, changed, asked.symbol)


def with_timeframe(strategy: BarStrategy, timeframe: str | None) -> BarStrategy:
    """The strategy on bars of another length; RequestError where it is made for one only."""
    if timeframe is None or TIMEFRAMES[timeframe] == strategy.rules.timeframe_minutes:
        return strategy
    if isinstance(strategy.rules, OwnRules):
        raise RequestError(
            f"{strategy.key} is made for M{strategy.rules.timeframe_minutes} bars: leave --tf out, or change its file"
        )
    return replace(strategy, rules=replace(strategy.rules, timeframe_minutes=TIMEFRAMES[timeframe]))


def read_bars(warehouse: Warehouse, asked: Asked, minutes: int) -> tuple[str, dict[str, Any], tuple[Split, ...]]:
    """The feed, the run's columns and its splits; RequestError names what is published."""
    if minutes not in TABLES:
        raise RequestError(f"there are bars of {' and '.join(map(str, TABLES))} minutes, not of {minutes}")
    name = TABLES[minutes]
    symbol = asked.symbol.replace("'", "''")
    wanted = {
        "bars": f"select * from {name} where symbol = '{symbol}' order by feed, bar_at",
        "actions": f"select * from bars_corporate_actions where symbol = '{symbol}' and action_kind = 'split'",
    }
    if not has_table(warehouse, "bars_corporate_actions"):
        del wanted["actions"]
    found = read_tables(warehouse, wanted)
    bars = found["bars"]
    feeds = sorted(set(bars["feed"].to_pylist()))
    if not feeds:
        raise RequestError(
            f"{name} has no bars of {asked.symbol}: run `foreshore extract bars --symbol {asked.symbol}`, then build"
        )
    if asked.feed is None and len(feeds) > 1:
        raise RequestError(f"{asked.symbol} has bars of several feeds ({', '.join(feeds)}): choose one with --feed")
    feed = asked.feed or feeds[0]
    if feed not in feeds:
        raise RequestError(f"{asked.symbol} has no bars of feed {feed!r}, but of {', '.join(feeds)}")
    told = found["actions"].to_pylist() if "actions" in found else []
    splits = tuple(split_of(row) for row in told if row["feed"] == feed and row["ex_at"] is not None)
    return feed, bar_columns(bars.filter(pc.equal(bars["feed"], feed))), splits


def run(config: Config, asked: Asked) -> tuple[Path, dict[str, Any]]:
    """Run and write the folder; returns it with the manifest, whose result says what became of it."""
    asked = replace(asked, symbol=canonical(asked.symbol))
    strategy = find_strategy(config, asked)
    feed, columns, splits = read_bars(Warehouse.of(config), asked, strategy.rules.timeframe_minutes)
    span = span_of(asked.first, asked.last, strategy.rules.market_tz)
    sessions, how, gates = calendar(config), constants(config), gates_of(config)
    seen = columns["label"] <= span[1]  # what comes after the range is no input
    columns = {name: values[seen] for name, values in columns.items()}
    splits = tuple(split for split in splits if split.ex_at <= span[1])
    actions = Actions(splits, conditions(config))
    error: dict[str, Any] | None = None
    try:
        result = run_bar_backtest(columns, sessions, strategy, span, how, actions)
        verdict = promotion_verdict(columns, sessions, strategy, span, how, actions, result, gates)
    except Exception as broken:
        error = {"error_id": uuid.uuid4().hex[:12], "stack_trace": redact(traceback.format_exc())}
        result, verdict = BarResult(RunStatus.ERROR, type(broken).__name__, redact(str(broken))), {}
    inputs = {
        "relation": TABLES[strategy.rules.timeframe_minutes],
        "bars": len(columns["label"]),
        "bars_sha256": bars_hash(columns),
        "splits": [[split.ex_at, str(split.old), str(split.new)] for split in splits],
        "sessions_sha256": canonical_hash([sessions.opens.tolist(), sessions.closes.tolist()]),
    }
    promotion = Promotion(
        strategy=strategy, symbol=asked.symbol, feed=feed, first=asked.first, last=asked.last, inputs=inputs
    )
    files = run_files(result, strategy, error, verdict)
    manifest = build_manifest(
        promotion,
        result,
        {name: sha256(data) for name, data in files.items()},
        error_id=error["error_id"] if error else None,
        commit=checkout_commit(Path(__file__).parents[2]),
        moment=datetime.now(UTC),
        verdict=verdict,
    )
    folder = artifacts_root(config) / "backtests" / manifest["identity"]["run_id"]
    write_folder(folder, {MANIFEST: json_bytes(manifest), **files})
    return folder, manifest


def promotion_verdict(
    columns: Mapping[str, Any],
    sessions: Sessions,
    strategy: BarStrategy,
    span: tuple[int, int],
    how: Resampling,
    actions: Actions,
    result: BarResult,
    gates: PromotionGates,
) -> dict[str, Any]:
    """Promotable, or which gate failed; empty for a run that is no SUCCESS. Costs are taken several times over."""
    if result.status is not RunStatus.SUCCESS:
        return {}
    dearer = replace(strategy, execution=strategy.execution.at_costs(gates.costs_multiple))
    again = run_bar_backtest(columns, sessions, dearer, span, how, actions)
    return judge(result.metrics, again.metrics["net_usd"], gates)


def run_files(
    result: BarResult, strategy: BarStrategy, error: Mapping[str, Any] | None, verdict: Mapping[str, Any]
) -> dict[str, bytes]:
    """Every file of a run's folder but its manifest."""
    found: dict[str, Any] = {
        "run_result.json": {
            "status": result.status.value,
            "reason": result.reason or None,
            "details": result.details or None,
            **(error or {}),
        },
        "coverage_check.json": _iso_times(dict(result.coverage)),
        "sla_check.json": dict(result.sla),
        "params.json": params(strategy),
    }
    if result.status is not RunStatus.SUCCESS:
        return {name: json_bytes(value) for name, value in found.items()}
    found["promotion_check.json"] = dict(verdict)
    found["signals.json"] = [signal_row(asdict(signal)) for signal in result.signals]
    found["rejections.json"] = [signal_row(asdict(rejection)) for rejection in result.rejections]
    found["trades.json"] = [signal_row(trade_row(trade)) for trade in result.trades]
    found["metrics.json"] = dict(result.metrics)
    files = {name: json_bytes(value) for name, value in found.items()}
    return {**files, "equity_curve.csv": _equity(result)}


def _equity(result: BarResult) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["exit_at", "net_usd", "equity_usd", "equity_low_usd", "equity_high_usd"])
    for trade in result.trades:
        if trade.exit_at is not None:
            band = ("" if edge is None else repr(edge) for edge in (trade.equity_low_usd, trade.equity_high_usd))
            writer.writerow([iso(trade.exit_at), repr(trade.net_usd), repr(trade.equity_usd), *band])
    return text.getvalue().encode()


def iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(text: str) -> int:
    """The unix seconds that `iso` wrote."""
    return int(datetime.fromisoformat(text).timestamp())


TIME_FIELDS = {"valid_from", "valid_to", "exit_by"}


def signal_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A signal, rejection or trade with its times as ISO text; the form of every artifact and of pre-paper's lines."""
    return {
        name: iso(value) if value is not None and (name.endswith("_at") or name in TIME_FIELDS) else value
        for name, value in row.items()
    }


def _iso_times(coverage: dict[str, Any]) -> dict[str, Any]:
    for name in ("cached_range", "effective_range"):
        if coverage.get(name):
            coverage[name] = [iso(moment) for moment in coverage[name]]
    if "gaps" in coverage:
        coverage["gaps"] = [{**gap, "first": iso(gap["first"]), "last": iso(gap["last"])} for gap in coverage["gaps"]]
    return coverage


def show(folder: Path, manifest: Mapping[str, Any], metrics: Mapping[str, Any] | None, as_json: bool) -> int:
    """Print what became of a run; exit code 0 for SUCCESS, else 1."""
    result, data = manifest["result"], manifest["data"]
    status = result["run_status"]
    if as_json:
        told = {"run_id": manifest["identity"]["run_id"], "folder": str(folder), "result": result, "metrics": metrics}
        print_json(told | {"promotion": manifest["gates"]["promotion"]})
        return 0 if status == "SUCCESS" else 1
    span = f"{data['requested_range']['first']} to {data['requested_range']['last']}"
    what = f"{data['symbol']} {data['requested_tf']} ({data['feed']}), {span}"
    if status != "SUCCESS":
        reason = ": ".join(part for part in (result["failure_reason"], result["failure_details"]) if part)
        out.print(f"[red]{status}[/red]  {what}\n{reason}")
    else:
        out.print(table(f"Backtest of {what}", ["figure", "value"], _figures(metrics or {}), prose=["value"]))
    out.print(f"\n{folder}/{MANIFEST}", soft_wrap=True)
    if status == "SUCCESS":
        promotion = manifest["gates"]["promotion"]
        out.print(promotion_line(promotion), soft_wrap=True)
        if promotion["status"] == PROMOTABLE:
            out.print(f"[dim]promote it: foreshore pre-paper run --manifest {folder}/{MANIFEST}[/dim]", soft_wrap=True)
    return 0 if status == "SUCCESS" else 1


def promotion_line(verdict: Mapping[str, Any]) -> str:
    """What the promotion gates said, as people see it."""
    if verdict["status"] == PROMOTABLE:
        return f"[green]{PROMOTABLE}[/green]"
    return f"[yellow]{verdict['status']}[/yellow]: {failed_gates(verdict)}"


def failed_gates(verdict: Mapping[str, Any]) -> str:
    """The gates that failed, with what they want and what they found."""
    failed = "; ".join(
        f"{gate['gate']} {gate['wanted']:g}, found {_short(gate['found'])}" for gate in verdict["failed"]
    )
    return f"{failed} (seeds/bars/promotion_gates.csv)"


def _short(value: Any) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _figures(found: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    mean = found["mean_r"]
    interval = f"  ({mean['low']:+.2f} to {mean['high']:+.2f})" if mean["low"] is not None else f"  ({mean['reason']})"
    outcomes = ", ".join(f"{count} {name}" for name, count in found["outcomes"].items()) or "none"
    return [
        ["sessions", str(found["sessions"])],
        ["signals", f"{found['signals']}: {outcomes}"],
        ["trades won", f"{found['wins']} of {found['trades']}"],
        ["mean R", "" if mean["estimate"] is None else f"{mean['estimate']:+.3f}{interval}"],
        ["net USD", f"{found['net_usd']:+,.2f} after {found['cost_usd']:,.2f} of commission"],
        ["Sharpe ratio", f"{found['sharpe']:+.2f} a year, of {found['sessions']} sessions"],
        ["return", f"{found['return_share']:+.2%}, largest drawdown {found['max_drawdown_share']:.2%}"],
    ]
