"""The verbs of a trader: backtest bars, pre-paper run."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from extract.config import load_config
from operate.bars import backtest as bar_runs
from operate.bars.artifacts import read_json
from operate.options import config_option, json_option

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
@json_option
@config_option
def backtest_bars(
    first: datetime, last: datetime, changes: tuple[str, ...], as_json: bool, config_file: str | None, **asked: Any
) -> None:
    """The inside-bar strategy on published bars; its run manifest is what `pre-paper run` takes.

    \b
    Examples
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06
      foreshore backtest bars --symbol HOOD --tf M15 --from 2025-06-02 --to 2026-03-06 --set atr_period=14
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06 --json
    """
    wrong = [pair for pair in changes if "=" not in pair]
    if wrong:
        raise click.UsageError(f"--set {wrong[0]}: write it as NAME=VALUE")
    request = bar_runs.Asked(first=first.date(), last=last.date(), changes=changes, **asked)
    folder, manifest = bar_runs.run(load_config(config_file), request)
    succeeded = manifest["result"]["run_status"] == "SUCCESS"
    metrics = read_json(folder / "metrics.json") if succeeded else None
    sys.exit(bar_runs.show(folder, manifest, metrics, as_json))
