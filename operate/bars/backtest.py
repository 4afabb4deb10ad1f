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

from decide.bars.backtest import Resampling, trade_row
from decide.bars.inside_bar import parse_record
from decide.bars.run import BarResult, BarStrategy, RunStatus, bar_strategies, bars_hash, run_bar_backtest, span_of
from decide.bars.sessions import Sessions
from decide.bars.tables import bar_columns, canonical_hash, params
from decide.errors import DecisionError
from extract.config import Config
from extract.errors import RequestError
from extract.evm.redact import redact
from extract.seeds import read_seed
from operate.bars.artifacts import artifacts_root, commit_hash, json_bytes, sha256, write_folder
from operate.bars.manifest import MANIFEST, Promotion, build_manifest
from operate.console import out, print_json, table
from operate.warehouse import Warehouse, read_tables

TABLES = {5: "bars_m5", 15: "bars_m15"}
TIMEFRAMES = {"M5": 5, "M15": 15}


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    symbol: str
    timeframe: str  # M5 or M15
    first: date
    last: date
    strategy: str | None = None  # KEY or KEY@VERSION
    feed: str | None = None
    changes: tuple[str, ...] = ()  # NAME=VALUE


def calendar(config: Config) -> Sessions:
    """The sessions seed with its overrides."""
    return Sessions.of(read_seed(config.seeds, "bars/sessions"), read_seed(config.seeds, "bars/session_overrides"))


def constants(config: Config) -> Resampling:
    rows = read_seed(config.seeds, "thresholds")
    return Resampling.of({row["threshold"]: float(row["value"]) for row in rows})


def find_strategy(config: Config, asked: Asked) -> BarStrategy:
    """The seed's strategy with the timeframe and the changes asked for."""
    known = bar_strategies(read_seed(config.seeds, "bars/bar_strategies"))
    names = {f"{made.key}@{made.version}": made for made in known}
    wanted = asked.strategy or next(iter(names))
    matching = [made for name, made in names.items() if wanted in (name, made.key)]
    if not matching:
        raise RequestError(f"strategy {wanted!r} is unknown: seeds/bars/bar_strategies.csv has {', '.join(names)}")
    changed = dict(pair.split("=", 1) for pair in asked.changes)
    return change(replace_timeframe(matching[-1], asked.timeframe), changed)


def replace_timeframe(strategy: BarStrategy, timeframe: str) -> BarStrategy:
    return replace(strategy, rules=replace(strategy.rules, timeframe_minutes=TIMEFRAMES[timeframe]))


def change(strategy: BarStrategy, changes: Mapping[str, str]) -> BarStrategy:
    """The strategy with named parameters changed, whatever their kind; RequestError for a name it does not have."""
    parts = {kind: asdict(getattr(strategy, kind)) for kind in ("rules", "execution", "gates")}
    for name, value in changes.items():
        homes = [kind for kind, values in parts.items() if name in values]
        if not homes or name == "timeframe_minutes":
            raise RequestError(f"--set {name}={value}: no such parameter; seeds/bars/bar_strategies.csv lists them")
        parts[homes[0]][name] = value
    try:
        made = {kind: parse_record(type(getattr(strategy, kind)), values) for kind, values in parts.items()}
    except DecisionError as error:
        raise RequestError(str(error)) from None
    return replace(strategy, **made)


def read_bars(warehouse: Warehouse, asked: Asked) -> tuple[str, dict[str, Any], str]:
    """The feed, the run's columns and the relation they were read from; RequestError names what is published."""
    name = TABLES[TIMEFRAMES[asked.timeframe]]
    symbol = asked.symbol.replace("'", "''")
    found = read_tables(warehouse, {"bars": f"select * from {name} where symbol = '{symbol}' order by feed, bar_at"})
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
    return feed, bar_columns(bars.filter(pc.equal(bars["feed"], feed))), name


def run(config: Config, asked: Asked) -> tuple[Path, dict[str, Any]]:
    """Run and write the folder; returns it with the manifest, whose result says what became of it."""
    strategy = find_strategy(config, asked)
    feed, columns, relation = read_bars(Warehouse.of(config), asked)
    span = span_of(asked.first, asked.last, strategy.rules.market_tz)
    sessions = calendar(config)
    seen = columns["label"] <= span[1]  # what comes after the range is no input
    columns = {name: values[seen] for name, values in columns.items()}
    error: dict[str, Any] | None = None
    try:
        result = run_bar_backtest(columns, sessions, strategy, span, constants(config))
    except Exception as broken:
        error = {"error_id": uuid.uuid4().hex[:12], "stack_trace": redact(traceback.format_exc())}
        result = BarResult(RunStatus.ERROR, type(broken).__name__, redact(str(broken)))
    inputs = {
        "relation": relation,
        "bars": len(columns["label"]),
        "bars_sha256": bars_hash(columns),
        "sessions_sha256": canonical_hash([sessions.opens.tolist(), sessions.closes.tolist()]),
    }
    promotion = Promotion(
        strategy=strategy, symbol=asked.symbol, feed=feed, first=asked.first, last=asked.last, inputs=inputs
    )
    files = _files(result, strategy, error)
    manifest = build_manifest(
        promotion,
        result,
        {name: sha256(data) for name, data in files.items()},
        error_id=error["error_id"] if error else None,
        commit=commit_hash(),
        moment=datetime.now(UTC),
    )
    folder = artifacts_root(config) / "backtests" / manifest["identity"]["run_id"]
    write_folder(folder, {MANIFEST: json_bytes(manifest), **files})
    return folder, manifest


def _files(result: BarResult, strategy: BarStrategy, error: Mapping[str, Any] | None) -> dict[str, bytes]:
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
    found["signals.json"] = [signal_row(asdict(signal)) for signal in result.signals]
    found["rejections.json"] = [signal_row(asdict(rejection)) for rejection in result.rejections]
    found["trades.json"] = [signal_row(trade_row(trade)) for trade in result.trades]
    found["metrics.json"] = dict(result.metrics)
    files = {name: json_bytes(value) for name, value in found.items()}
    return {**files, "equity_curve.csv": _equity(result)}


def _equity(result: BarResult) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["exit_at", "net_usd", "equity_usd"])
    for trade in result.trades:
        if trade.exit_at is not None:
            writer.writerow([iso(trade.exit_at), repr(trade.net_usd), repr(trade.equity_usd)])
    return text.getvalue().encode()


def iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


TIME_FIELDS = {"valid_from", "valid_to"}


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
        print_json(
            {"run_id": manifest["identity"]["run_id"], "folder": str(folder), "result": result, "metrics": metrics}
        )
        return 0 if status == "SUCCESS" else 1
    span = f"{data['requested_range']['first']} to {data['requested_range']['last']}"
    what = f"{data['symbol']} {data['requested_tf']} ({data['feed']}), {span}"
    if status != "SUCCESS":
        reason = ": ".join(part for part in (result["failure_reason"], result["failure_details"]) if part)
        out.print(f"[red]{status}[/red]  {what}\n{reason}")
    else:
        out.print(table(f"Backtest of {what}", ["figure", "value"], _figures(metrics or {})))
    out.print(f"\n{folder}/{MANIFEST}", soft_wrap=True)
    if status == "SUCCESS":
        out.print(f"[dim]promote it: foreshore pre-paper run --manifest {folder}/{MANIFEST}[/dim]", soft_wrap=True)
    return 0 if status == "SUCCESS" else 1


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
        ["return", f"{found['return_share']:+.2%}, largest drawdown {found['max_drawdown_share']:.2%}"],
    ]
