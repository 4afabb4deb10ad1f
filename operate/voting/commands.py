"""The verbs of a gauge voter that look back: submitted, backtest."""

from __future__ import annotations

import sys
from typing import Any

import click

from extract.config import load_config
from extract.voting.submissions import OUTCOMES
from operate.console import print_json
from operate.lazy import LazyGroup
from operate.options import config_option, engine_options, json_option, where_of
from operate.voting import submitted as submissions
from operate.warehouse import Warehouse


@click.command()
@click.option("--file", "name", metavar="FILE", help="A submission or a saved recommendation (JSON).")
@click.option("--submitted-at", metavar="TIME", help="When it was sent, ISO with zone; overrules the file.")
@click.option("--transaction", "transaction_hash", metavar="HASH", help="Its transaction hash.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="What became of it; left out, the contract shows it.")
@click.option("--protocol", metavar="NAME", help="Without --file: only this exchange.")
@click.option("--voter", metavar="ID", help="Without --file: only this voter.")
@json_option
@config_option
def submitted(
    name: str | None,
    submitted_at: str | None,
    transaction_hash: str | None,
    outcome: str | None,
    protocol: str | None,
    voter: str | None,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Record what was really voted; without --file, show what the chain's events say.

    \b
    Examples
      foreshore submitted --file data/recommendations/hydrex/1771459200/T-5-0xabc-reach.json \\
          --submitted-at 2026-02-25T23:56:10Z
      foreshore submitted --protocol hydrex --json
    """
    config = load_config(config_file)
    if name is not None:
        sys.exit(submissions.record(config, name, submitted_at, transaction_hash, outcome, as_json))
    sys.exit(submissions.show_chain(Warehouse.of(config), protocol, voter, as_json))


@click.group(cls=LazyGroup, invoke_without_command=True)
@click.option("--protocol", metavar="NAME", help="Only this exchange.")
@click.option("--sweep", is_flag=True, help="Replay other parameters instead of showing what is published.")
@click.option("--risk-profile", metavar="NAME", help="Sweep: the profile to start from.")
@click.option("--k-max", type=click.IntRange(1), multiple=True, help="Sweep: most gauges; repeatable.")
@click.option("--min-votes", type=click.FloatRange(0), multiple=True, help="Sweep: fewest votes a gauge; repeatable.")
@click.option("--risk-aversion", type=click.FloatRange(0, 1), multiple=True, help="Sweep: lambda; repeatable.")
@click.option("--scenario-set", multiple=True, help="Sweep: quartiles or deciles; repeatable.")
@click.option(
    "--max-turnover", type=click.FloatRange(0, 1), multiple=True, help="Sweep: share that may move; repeatable."
)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Sweep: processes.")
@engine_options
@json_option
@config_option
@click.pass_context
def backtest(
    context: click.Context,
    protocol: str | None,
    sweep: bool,
    workers: int,
    as_json: bool,
    config_file: str | None,
    **tried: Any,
) -> None:
    """What decisions made with what was known would have earned, against baselines and hindsight: votes, or bars.

    \b
    Examples
      foreshore backtest
      foreshore backtest --sweep --k-max 5 --k-max 10 --k-max 20 --scenario-set quartiles --scenario-set deciles
      foreshore backtest --sweep --k-max 5 --k-max 10 --engine dask --workers 4
      foreshore backtest --protocol hydrex --json
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06
    """
    from operate.voting import backtest as replays
    from operate.voting import sweeping  # worker processes and solvers: no other verb waits for them

    if context.invoked_subcommand is not None:
        return
    where = where_of(tried)
    warehouse = Warehouse.of(load_config(config_file))
    if not sweep:
        given = [f"--{name.replace('_', '-')}" for name, value in tried.items() if value]
        given += ["--engine, --scheduler and --hosts"] if where.is_cluster else []
        if given:
            raise click.UsageError(f"{', '.join(given)} is for a sweep: add --sweep")
        rows = replays.summary(warehouse, protocol)
        print_json(rows) if as_json else replays.show_summary(rows)
        return
    grid = sweeping.Grid(**tried)
    sweeping.sweep(warehouse, grid, protocol, workers, where, lambda rows: sweeping.show_sweep(rows, as_json))
