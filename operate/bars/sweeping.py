"""`foreshore backtest bars --sweep`: every set of a grid on one series, all tries kept, the best one doubted."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from decide.bars.run import Actions, RunStatus, bars_hash, run_bar_backtest, span_of, whole_orders
from decide.bars.sweep import SweepResult, judge_tries, parse_grid
from decide.bars.tables import canonical_hash, params
from decide.errors import DecisionError
from extract.bars.symbols import canonical
from extract.config import Config
from extract.errors import ForeshoreError, RequestError
from extract.where import HERE, Where
from operate.bars import backtest, strategies
from operate.bars.artifacts import artifacts_root, json_bytes, write_folder
from operate.bars.tries import Tries
from operate.console import err, out, print_json, table
from operate.warehouse import Warehouse

SHOWN = 10


class SweepFailed(ForeshoreError):
    """The series does not pass the gates: no set is run on it."""


def sweep(
    config: Config, asked: backtest.Asked, grid: Sequence[str], as_json: bool, where: Where = HERE, workers: int = 2
) -> int:
    """Run every set, write the folder, print the best; exit code 0. What a killed sweep tried is not tried again."""
    asked = replace(asked, symbol=canonical(asked.symbol))
    base = backtest.find_strategy(config, asked)
    try:
        changes = parse_grid(grid)
    except DecisionError as error:
        raise RequestError(str(error)) from None
    sets = [(change, strategies.change(base, change)) for change in changes]
    feed, columns, splits = backtest.read_bars(Warehouse.of(config), asked, base.rules.timeframe_minutes)
    span = span_of(asked.first, asked.last, base.rules.market_tz)
    sessions = backtest.calendar(config)
    longest = max((strategy for _, strategy in sets), key=lambda strategy: strategy.rules.warmup)
    actions = Actions(splits, backtest.conditions(config))
    found = run_bar_backtest(columns, sessions, longest, span, backtest.constants(config), actions)
    if found.status is not RunStatus.SUCCESS:
        raise SweepFailed(f"{found.reason}: {found.details}")
    if found.coverage["splits_applied"]:
        raise SweepFailed(
            "there is a split in this range or in the bars before it that these sets need: sweep the parts before and "
            "after it, or single backtests"
        )
    bars, chosen, usable = whole_orders(columns, sessions, longest, span, found.coverage["unadjusted_splits"])
    series = [bars_hash(columns), str(asked.first), str(asked.last), found.coverage["unadjusted_splits"]]
    tries = Tries(config, series, sets)
    with Progress(console=err, disable=as_json or not err.is_terminal, transient=True) as bar:
        task = bar.add_task(f"{len(sets):,} sets", total=len(sets))
        made = tries.of((bars, chosen, usable), where, workers, lambda more: bar.update(task, advance=more), err.print)
    result = judge_tries(made)
    folder = _write(config, asked, feed, base, result, grid)
    tries.forget()
    if as_json:
        print_json({"folder": str(folder), **_summary(result)})
    else:
        _show(result, folder, asked)
    return 0


def _summary(result: SweepResult) -> dict[str, Any]:
    best = result.tries[0]
    return {
        "tries": len(result.tries),
        "best": {"changes": dict(best.changes), **best.figures},
        "deflated_sharpe": None if np.isnan(result.deflated) else result.deflated,
        "walk_forward": list(result.walk_forward),
        "walk_forward_return_share": float(np.prod([1 + f["return_share"] for f in result.walk_forward]) - 1),
    }


def _write(
    config: Config, asked: backtest.Asked, feed: str, base: Any, result: SweepResult, grid: Sequence[str]
) -> Path:
    digest = canonical_hash([params(base), asked.symbol, feed, str(asked.first), str(asked.last), sorted(grid)])[:10]
    folder = artifacts_root(config) / "sweeps" / f"{asked.symbol}-{digest}"
    text = io.StringIO()
    names = [*result.tries[0].changes, *result.tries[0].figures]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**one.changes, **one.figures} for one in result.tries)
    told = {"strategy": base.key, "impl_version": base.version, "feed": feed, "grid": list(grid)}
    span = {"symbol": asked.symbol, "first": str(asked.first), "last": str(asked.last)}
    files = {"sweep.json": json_bytes({**told, **span, **_summary(result)}), "tries.csv": text.getvalue().encode()}
    write_folder(folder, files)
    return folder


def _show(result: SweepResult, folder: Path, asked: backtest.Asked) -> None:
    rows = [
        [
            ", ".join(f"{name}={value}" for name, value in one.changes.items()),
            f"{one.figures['sharpe']:+.2f}",
            f"{one.figures['net_usd']:+,.2f}",
            str(one.figures["trades"]),
        ]
        for one in result.tries[:SHOWN]
    ]
    heads = ["set", "Sharpe", "net USD", "trades"]
    out.print(table(f"{len(result.tries):,} sets on {asked.symbol}", heads, rows, right=heads[1:], prose=["set"]))
    out.print(
        f"\nDeflated Sharpe ratio of the best: {result.deflated:.3f} (the chance that it is more than the best of "
        f"{len(result.tries):,} tries without an edge would show)"
    )
    folds = [
        [str(f["fold"]), ", ".join(f"{k}={v}" for k, v in f["changes"].items()), _pair(f), f"{f['return_share']:+.2%}"]
        for f in result.walk_forward
    ]
    heads = ["fold", "chosen on the sessions before", "Sharpe before and after", "return after"]
    out.print(table("Walk forward", heads, folds, right=heads[2:], prose=[heads[1]]))
    out.print(f"\n{folder}", soft_wrap=True)


def _pair(fold: Mapping[str, Any]) -> str:
    return f"{fold['sharpe_before']:+.2f} to {fold['sharpe']:+.2f}"
