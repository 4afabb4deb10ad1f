"""The verbs of a trader: backtest bars, pre-paper run."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from extract.config import load_config
from operate.bars import backtest as bar_runs
from operate.bars import checking, sweeping
from operate.bars.artifacts import read_json
from operate.lazy import LazyGroup
from operate.options import config_option, engine_options, json_option, where_of

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("bars")
@click.option("--symbol", required=True, metavar="SYMBOL", help="As it was extracted, e.g. HOOD.")
@click.option("--tf", "timeframe", type=click.Choice(["M5", "M15"]), help="Bars  [default: the strategy's].")
@click.option("--from", "first", type=DAY, required=True, metavar="DATE", help="First day, New York.")
@click.option("--to", "last", type=DAY, required=True, metavar="DATE", help="Last day, included.")
@click.option(
    "--strategy", metavar="KEY[@VERSION]|FILE", help="Of seeds/bars/bar_strategies.csv, registered, or a .py file."
)
@click.option("--feed", metavar="NAME", help="Which series, where a symbol has several.")
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Another parameter value; repeatable.")
@click.option("--sweep", "grid", metavar="NAME=A,B|FIRST:LAST:STEP", multiple=True, help="Every combination of values.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes of --engine dask.")
@engine_options
@json_option
@config_option
def backtest_bars(
    first: datetime,
    last: datetime,
    changes: tuple[str, ...],
    grid: tuple[str, ...],
    workers: int,
    as_json: bool,
    config_file: str | None,
    **asked: Any,
) -> None:
    """A strategy on published bars; its run manifest is what `pre-paper run` takes.

    \b
    With --sweep: every set of a grid, with the deflated Sharpe ratio and a walk-forward split beside the best; of a
    file of one's own the parameters it lists. A sweep that was killed goes on where it was; --engine dask spreads it.

    \b
    Examples
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06
      foreshore backtest bars --symbol HOOD --tf M15 --from 2025-06-02 --to 2026-03-06 --set atr_period=14
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06 --strategy strategies/mine.py
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06 --sweep atr_period=5:20 --sweep
      risk_reward_ratio=1,2,3
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06 --strategy strategies/mine.py --sweep
      ticks=10:50:10
    """
    wrong = [pair for pair in changes if "=" not in pair]
    if wrong:
        raise click.UsageError(f"--set {wrong[0]}: write it as NAME=VALUE")
    if last < first:
        raise click.UsageError(f"--to {last:%Y-%m-%d} lies before --from {first:%Y-%m-%d}")
    where = where_of(asked)
    request = bar_runs.Asked(first=first.date(), last=last.date(), changes=changes, **asked)
    if grid:
        sys.exit(sweeping.sweep(load_config(config_file), request, grid, as_json, where, workers))
    if where.is_cluster:
        raise click.UsageError("--engine, --scheduler and --hosts are for --sweep: one backtest is one process's work")
    folder, manifest = bar_runs.run(load_config(config_file), request)
    succeeded = manifest["result"]["run_status"] == "SUCCESS"
    metrics = read_json(folder / "metrics.json") if succeeded else None
    sys.exit(bar_runs.show(folder, manifest, metrics, as_json))


@click.group("strategy", cls=LazyGroup)
def strategy() -> None:
    """Bar strategies: the seed's, the registered ones, and files of one's own."""


@strategy.command("check")
@click.argument("place", metavar="FILE|KEY[@VERSION]")
@click.option("--symbol", metavar="SYMBOL", help="On published bars of it  [default: made bars].")
@click.option("--feed", metavar="NAME", help="Which series, where a symbol has several.")
@json_option
@config_option
def strategy_check(place: str, symbol: str | None, feed: str | None, as_json: bool, config_file: str | None) -> None:
    """Prove a strategy: batch equals replay, the future changes nothing, declared history suffices, same bytes.

    \b
    Exit code 1 when a proof fails.
    Examples
      foreshore strategy check strategies/mine.py
      foreshore strategy check opening_range --symbol HOOD
    """
    sys.exit(checking.check(load_config(config_file), place, symbol, feed, as_json))
