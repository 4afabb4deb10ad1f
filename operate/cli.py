"""The `foreshore` command line. Exit codes: 0 done, 1 failed, 2 partial, 3 nothing to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from extract.config import load_config
from extract.errors import ForeshoreError
from extract.evm.redact import redact
from extract.lending.plan import Request as LendingRequest
from extract.lending.plan import is_configured
from extract.voting.epochs import parse_moment
from extract.voting.plan import Request
from operate import demo as demo_lines
from operate import extraction, worlds
from operate.bars.extraction import extract_bars_command
from operate.bars.pre_paper.commands import pre_paper
from operate.console import err, out, print_json, print_rows, say_error
from operate.lending import commands as lending_commands
from operate.lending.commands import extract_lending, show_lending_status
from operate.markets.commands import markets
from operate.markets.extraction import extract_markets
from operate.options import config_option, json_option
from operate.voting.allocate import allocate
from operate.voting.commands import backtest, recommend, submitted
from operate.warehouse import Warehouse, query, rebuild, run_dbt, show_publication

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="foreshore")
def cli() -> None:
    """Foreshore: a warehouse for decisions made before a boundary.

    \b
    Examples
      foreshore demo run                            the whole line on an embedded chain
      foreshore extract voting --epochs 12 --plan   what a run would do and cost
      foreshore extract voting --epochs 12          fetch what is missing
      foreshore extract lending --days 7            supply, debt and liquidations of lending markets
      foreshore build                               dbt build, then publish what passed
      foreshore recommend --window T-5              what to vote, what it is worth, and why
      foreshore allocate --instance FILE.json       one allocation from a file, with its proof
      foreshore backtest                            what such decisions would have earned
      foreshore pre-paper run --manifest PATH       a promoted backtest on live bars
      foreshore markets daily                       experiments on prediction markets
      foreshore sql "select * from preboundary_leakage_checks"
    """


for command in (recommend, submitted, backtest, allocate, markets, pre_paper):
    cli.add_command(command)


@cli.group()
def extract() -> None:
    """Land raw data; resumable at any point."""


extract.add_command(extract_bars_command)
extract.add_command(extract_markets)


def _voting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option(
                "--epochs",
                type=click.IntRange(1),
                help="How many ended epochs, counted back from --until or the head  [default: 1].",
            ),
            click.option("--since", metavar="EPOCH", help="First epoch: unix seconds or an ISO date, e.g. 2026-02-19."),
            click.option(
                "--until", metavar="EPOCH", help="Last epoch, the same way; without it the open epoch comes too."
            ),
            click.option("--protocol", "protocols", multiple=True, help="Only this [voting.NAME]; repeatable."),
            click.option(
                "--resume/--no-resume",
                default=True,
                show_default=True,
                help="Skip what is complete, or fetch everything anew.",
            ),
            click.option(
                "--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Units in flight."
            ),
            click.option("--plan", is_flag=True, help="Print partitions, calls and estimated time; land nothing."),
            json_option,
            config_option,
        ]
    ):
        command = option(command)
    return command


def _run_voting(config_file: str | None, plan: bool, as_json: bool, **asked: Any) -> int:
    config = load_config(config_file)
    moments = {key: None if asked[key] is None else parse_moment(asked[key]) for key in ("since", "until")}
    request = Request(**{**asked, **moments})
    return extraction.show_plan(config, request, as_json) if plan else extraction.run_voting(config, request, as_json)


@extract.command("voting")
@_voting_options
def extract_voting(**options: Any) -> None:
    """Votes, rewards, prices and events of ve(3,3) exchanges, per epoch and decision window.

    \b
    Examples
      foreshore extract voting --epochs 12
      foreshore extract voting --since 2026-01-01 --until 2026-02-19 --protocol hydrex
      foreshore extract voting --epochs 3 --plan --json
    """
    sys.exit(_run_voting(**options))


@extract.command("all")
@_voting_options
def extract_all(**options: Any) -> None:
    """Every chain that is configured: voting and lending. Options are the voting line's; lending takes its next days.

    Bars are extracted by symbol (`extract bars`), prediction markets by the daily run (`markets daily`).
    """
    config = load_config(options["config_file"])
    codes = [_run_voting(**options)] if config.section("voting") else []
    if is_configured(config):
        request = LendingRequest(resume=options["resume"], workers=options["workers"])
        codes.append(lending_commands.run(config, request, options["plan"], options["as_json"]))
    sys.exit(_of_all(codes))


def _of_all(codes: Sequence[int]) -> int:
    """One exit code for several lines: done unless something failed; failed only when nothing was done."""
    if any(code in (1, 2) for code in codes):
        return 1 if all(code == 1 for code in codes) else 2
    return 0 if 0 in codes else 3


extract.add_command(extract_lending)


@cli.command()
@click.option("--lending", is_flag=True, help="CSU by CSU: days done, failing and open, missing prices.")
@json_option
@config_option
def status(lending: bool, as_json: bool, config_file: str | None) -> None:
    """What is complete, what fails and why, how long a running extraction still takes.

    \b
    Examples
      foreshore status
      foreshore status --lending
      foreshore status --json
    """
    show = show_lending_status if lending else extraction.show_status
    sys.exit(show(load_config(config_file), as_json))


@cli.command()
@click.option("--docs/--no-docs", default=False, help="Also write the static docs site.")
@config_option
def build(docs: bool, config_file: str | None) -> None:
    """Run dbt build (models and tests) and publish every wing whose tests ran and passed.

    Exit code 2 when a wing is held back: readers keep what they had of it.

    \b
    Examples
      foreshore build
      foreshore build --docs
    """
    warehouse = Warehouse.of(load_config(config_file))
    code = show_publication(warehouse, rebuild(warehouse))
    if docs and not run_dbt(warehouse, ["docs", "generate", "--static"]):
        raise ForeshoreError("the docs site could not be written")
    sys.exit(code)


@cli.command()
@click.argument("statement")
@json_option
@config_option
def sql(statement: str, as_json: bool, config_file: str | None) -> None:
    """Query what was published, read-only.

    \b
    Examples
      foreshore sql "select * from preboundary_snapshot_coverage"
      foreshore sql "select count(*) from preboundary_snapshots" --json
    """
    columns, rows = query(Warehouse.of(load_config(config_file)), statement)
    if as_json:
        print_json({"columns": columns, "rows": rows})
    else:
        print_rows(columns, rows)


@cli.group()
def demo() -> None:
    """The embedded world: a local chain with contracts and agents."""


def _world_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--seed", default=7, show_default=True, help="Seed of the agents."),
        click.option("--voters", default=40, show_default=True, help="Voters per exchange."),
        click.option("--gauges", default=60, show_default=True, help="Gauges per exchange."),
        click.option("--epochs", default=12, show_default=True, help="Ended epochs."),
    ):
        command = option(command)
    return command


@demo.command("up")
@_world_options
def demo_up(**sizes: int) -> None:
    """Start the world and point Foreshore at it until `foreshore demo down`.

    \b
    Examples
      foreshore demo up
      foreshore demo up --epochs 3 --gauges 10 --voters 8
    """
    world = worlds.up(**sizes)
    out.print(f"The embedded world is up at {world['rpc_url']}; `foreshore demo down` stops it.")


@demo.command("down")
def demo_down() -> None:
    """Stop the embedded world, if it is up."""
    out.print("The embedded world is stopped." if worlds.down() else "No embedded world is up.")


@demo.command("with", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo_with(arguments: tuple[str, ...]) -> None:
    """Run a foreshore command on the world where no provider is configured ('nothing to do' counts as done).

    \b
    Examples
      foreshore demo with extract all --epochs 3
    """
    sys.exit(worlds.run_with_world(arguments))


@demo.command("run")
@_world_options
def demo_run(**sizes: int) -> None:
    """The whole line: start the world, extract, build, test, write docs, show the result, stop the world."""
    sys.exit(demo_lines.run(**sizes))


def main() -> None:
    """Entry point: every error that Foreshore knows is one line on standard error, with exit code 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.Abort:
        err.print("interrupted: what was committed stays; run the same command again to go on")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted: what was committed stays; run the same command again to go on")
        sys.exit(130)
    except ForeshoreError as error:
        say_error(redact(str(error)))
        sys.exit(1)


if __name__ == "__main__":
    main()
