"""The `foreshore` command line. Exit codes: 0 done, 1 failed, 2 partial, 3 nothing to do, 64 wrong usage.

Verbs are named here and imported when they are called: help and completion cost no wing's imports.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from operate.lazy import LazyGroup, Verb

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
WRONG_USAGE = 64  # EX_USAGE of sysexits.h; click's own 2 is what Foreshore says of a partial run

EXTRACT = {
    "voting": Verb("operate.voting.extraction:extract_voting_command", "Votes, rewards, prices and events, per epoch."),
    "lending": Verb("operate.lending.commands:extract_lending", "Supply, debt and liquidations, per New York day."),
    "bars": Verb("operate.bars.extraction:extract_bars_command", "Five-minute bars, per symbol and month."),
    "markets": Verb("operate.markets.extraction:extract_markets", "Prediction markets of one target day."),
    "all": Verb("operate.commands:extract_all", "Every chain that is configured: voting and lending."),
}
EXPORTS = {"lending": Verb("operate.lending.commands:export_lending", "The researcher's package of the panel.")}
BACKTESTS = {"bars": Verb("operate.bars.commands:backtest_bars", "A bar strategy on published bars.")}
VERBS = {
    "init": Verb("operate.initial:init", "Lay a project of your own."),
    "status": Verb("operate.commands:status", "What is complete, what fails and why."),
    "verify": Verb("operate.night_commands:verify", "The morning's look: is everything there, fresh and well."),
    "doctor": Verb("operate.night_commands:doctor", "What a set-up needs, each with its cure."),
    "overnight": Verb("operate.night_commands:overnight", "Everything above, alone and at night."),
    "repair": Verb("operate.repair:repair", "Fetch again what is not as it was landed."),
    "compact": Verb("operate.upkeep:compact_command", "Merge small raw files; rows, ledger and times stay."),
    "prune": Verb("operate.upkeep:prune_command", "Drop raw rows that no table is built from."),
    "build": Verb("operate.commands:build", "Run dbt build and publish what passed."),
    "report": Verb("operate.report.command:report", "Pages of figures over what was published."),
    "tables": Verb("operate.describe:tables", "What is published."),
    "describe": Verb("operate.describe:describe", "What a table's columns mean."),
    "sql": Verb("operate.sql:sql", "Query what was published, read-only."),
    "recommend": Verb(
        "operate.voting.recommend_command:recommend", "What to vote, what it is worth, and why.", is_lean=True
    ),
    "watch": Verb("operate.voting.watch.commands:watch", "The boundary night: decide at every block, hand votes over."),
    "review": Verb("operate.voting.watch.commands:review", "The week after: promised, earned, and why they differ."),
    "submitted": Verb("operate.voting.commands:submitted", "Record what was really voted, or show it."),
    "allocate": Verb("operate.voting.allocate:allocate", "One allocation from a file, with its proof."),
    "backtest": Verb(
        "operate.voting.commands:backtest", "What decisions would have earned: votes, or bars.", BACKTESTS
    ),
    "strategy": Verb("operate.bars.commands:strategy", "Bar strategies: check one that is yours."),
    "pre-paper": Verb("operate.bars.pre_paper.commands:pre_paper", "A promoted backtest on live bars."),
    "markets": Verb("operate.markets.commands:markets", "Prediction markets: daily runs, resolutions, scores."),
    "demo": Verb("operate.demo_commands:demo", "The embedded world: up, down, with, run."),
}


def _show_version(ctx: click.Context, param: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        from operate.version import version_text

        click.echo(version_text())
        ctx.exit()


@click.group(cls=LazyGroup, verbs=VERBS, context_settings=CONTEXT)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it.")
def cli() -> None:
    """Foreshore: a warehouse for decisions made before a boundary.

    \b
    Examples
      foreshore demo run                            the whole line on an embedded chain
      foreshore extract voting --epochs 12 --plan   what a run would do and cost
      foreshore extract voting --epochs 12          fetch what is missing
      foreshore extract lending --days 7            supply, debt and liquidations of lending markets
      foreshore export lending --since 2024-12-01 --until 2024-12-31 --out DIR    panel, codebook, hashes
      foreshore build                               dbt build, then publish what passed
      foreshore overnight                           all of it, unattended; `verify` in the morning
      foreshore recommend --window T-5              what to vote, what it is worth, and why
      foreshore allocate --instance FILE.json       one allocation from a file, with its proof
      foreshore report --open                       figures of all that, in the browser
      foreshore backtest                            what such decisions would have earned
      foreshore strategy check FILE                 prove a bar strategy of your own
      foreshore pre-paper run --manifest PATH       a promoted backtest on live bars
      foreshore markets daily                       experiments on prediction markets
      foreshore sql "select * from preboundary_leakage_checks"
    """


@cli.group(cls=LazyGroup, verbs=EXTRACT)
def extract() -> None:
    """Land raw data; resumable at any point."""


@cli.group(cls=LazyGroup, verbs=EXPORTS)
def export() -> None:
    """Published tables as files that others can use."""


def _say_interrupted() -> NoReturn:
    click.echo("interrupted: what was committed stays; run the same command again to go on", err=True)
    sys.exit(130)


def main() -> None:
    """Entry point: every error that Foreshore knows is one line on standard error, with its exit code."""
    try:
        cli.main(prog_name="foreshore", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say_interrupted()
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USAGE if isinstance(error, click.UsageError) else error.exit_code)
    except Exception as error:
        from operate.failing import is_interrupt, told

        if is_interrupt(error):
            _say_interrupted()
        told(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
