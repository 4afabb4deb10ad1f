"""The verb `recommend`, by itself: what the others need takes longer to import than it takes to decide."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from extract.config import Config, load_config
from extract.errors import ForeshoreError
from extract.voting.epochs import parse_moment
from operate.console import err, out, print_json
from operate.options import config_option, json_option
from operate.voting import ballots
from operate.voting import recommend as recommending
from operate.voting.recommend_view import show
from operate.warehouse import Warehouse


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
        show(row)
    for action, path in saved:
        out.print(f"[dim]saved {path}[/dim]", soft_wrap=True)  # a path that is broken cannot be copied
        if action == "submit":
            out.print(f"[dim]after voting: foreshore submitted --file {path} --submitted-at TIME[/dim]", soft_wrap=True)


def _refresh(config: Config, protocol: str | None) -> None:
    """The current window from the chain into what is published."""
    from extract.voting.plan import Request  # only --live extracts
    from operate.rebuild import rebuild
    from operate.voting.extraction import run_voting

    err.print("[dim]extracting the open epoch, then building ...[/dim]")
    only = (protocol,) if protocol else ()
    code = run_voting(config, Request(epochs=1, protocols=only), as_json=False)
    if code not in (0, 3):
        raise ForeshoreError("the extraction did not complete: see above; without --live what was published is used")
    held_back = rebuild(Warehouse.of(config)).held_back.get("voting")
    if held_back:
        raise ForeshoreError(f"the build did not pass, so nothing newer was published: {'; '.join(held_back[:3])}")
