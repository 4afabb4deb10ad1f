"""The verbs of a gauge voter: recommend, submitted, backtest."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from extract.config import Config, load_config
from extract.errors import ForeshoreError
from extract.voting.epochs import parse_moment
from extract.voting.plan import Request
from extract.voting.submissions import OUTCOMES
from operate.console import err, out, print_json
from operate.lazy import LazyGroup
from operate.options import config_option, json_option
from operate.voting import backtest as replays
from operate.voting import ballots
from operate.voting import recommend as recommending
from operate.voting import submitted as submissions
from operate.voting.extraction import run_voting
from operate.warehouse import Warehouse, rebuild


@click.command()
@click.option("--window", metavar="WINDOW", help="Decision window: day, T-61, T-5, T-1, T-0  [default: the newest].")
@click.option("--protocol", metavar="NAME", help="Only this exchange  [default: every one].")
@click.option(
    "--voter", metavar="ID", help="Account or veNFT id, a line of seeds/voting/voters.csv  [default: its first]."
)
@click.option(
    "--voting-power", type=float, metavar="VOTES", help="Instead of the power that is stated or was last cast."
)
@click.option("--risk-profile", metavar="NAME", help="one of the seed's  [default: the seed's default].")
@click.option("--epoch", metavar="EPOCH", help="Unix seconds or ISO date  [default: the newest with that window].")
@click.option(
    "--live", is_flag=True, help="Extract the open epoch and build first (seconds to minutes, not under 2 s)."
)
@click.option("--save/--no-save", default=True, show_default=True, help="Keep it under data/recommendations.")
@click.option("--simulate/--no-simulate", default=True, show_default=True, help="Ask the voter contract what it says.")
@json_option
@config_option
def recommend(live: bool, save: bool, simulate: bool, as_json: bool, config_file: str | None, **asked: Any) -> None:
    """What to vote at a decision window, what it is worth, whether to send it, and why. Nothing is signed or sent.

    The transaction is shown unsigned, with what the voter contract says to it on the state of the decision block. With
    --voting-power the answer is a what-if: it is not saved.

    \b
    Examples
      foreshore recommend
      foreshore recommend --window T-5
      foreshore recommend --window day --protocol hydrex --risk-profile bold --json
      foreshore recommend --window T-1 --voter 34 --voting-power 250000 --live
    """
    config = load_config(config_file)
    if live:
        _refresh(config, asked["protocol"])
    asked["epoch"] = None if asked["epoch"] is None else parse_moment(asked["epoch"])
    warehouse = Warehouse.of(config)
    now = None if config.is_simulated else datetime.now(UTC)  # the embedded world lives in another year
    rows = recommending.recommendations(warehouse, recommending.Asked(**asked), now)
    rows = [ballots.with_ballot(config, row, simulate) for row in rows]
    kept = [row for row in rows if save and not row["is_what_if"]]
    saved = [(row["action"], recommending.save(config.root, row)) for row in kept]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        recommending.show(row)
    for action, path in saved:
        out.print(f"[dim]saved {path}[/dim]", soft_wrap=True)  # a path that is broken cannot be copied
        if action == "submit":
            out.print(f"[dim]after voting: foreshore submitted --file {path} --submitted-at TIME[/dim]", soft_wrap=True)


def _refresh(config: Config, protocol: str | None) -> None:
    """The current window from the chain into what is published."""
    err.print("[dim]extracting the open epoch, then building ...[/dim]")
    only = (protocol,) if protocol else ()
    code = run_voting(config, Request(epochs=1, protocols=only), as_json=False)
    if code not in (0, 3):
        raise ForeshoreError("the extraction did not complete: see above; without --live what was published is used")
    held_back = rebuild(Warehouse.of(config)).held_back.get("voting")
    if held_back:
        raise ForeshoreError(f"the build did not pass, so nothing newer was published: {'; '.join(held_back[:3])}")


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
      foreshore backtest --protocol hydrex --json
      foreshore backtest bars --symbol HOOD --from 2025-06-02 --to 2026-03-06
    """
    if context.invoked_subcommand is not None:
        return
    warehouse = Warehouse.of(load_config(config_file))
    if not sweep:
        given = [f"--{name.replace('_', '-')}" for name, value in tried.items() if value]
        if given:
            raise click.UsageError(f"{', '.join(given)} is for a sweep: add --sweep")
        rows = replays.summary(warehouse, protocol)
        print_json(rows) if as_json else replays.show_summary(rows)
        return
    replays.show_sweep(replays.sweep(warehouse, replays.Grid(**tried), protocol, workers), as_json)
