"""The verbs of a boundary night: watch, review."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing

import click

from extract.config import Config, load_config
from extract.errors import ForeshoreError, RequestError
from extract.voting.epochs import parse_moment
from extract.voting.families import load_protocols
from extract.voting.live import open_epoch
from operate.checks import show
from operate.console import out, print_json
from operate.extraction import new_run_id
from operate.notify import Notifier
from operate.options import config_option, json_option
from operate.voting.watch.checks import check_night
from operate.voting.watch.decisions import Decider
from operate.voting.watch.hands import Hands
from operate.voting.watch.models import LiveModels, load_models
from operate.voting.watch.night import Night
from operate.voting.watch.review import reviews
from operate.voting.watch.review import show as show_review
from operate.voting.watch.screen import Screen
from operate.voting.watch.sender import command_words
from operate.voting.watch.voice import Voice
from operate.warehouse import Warehouse


@click.command()
@click.option("--protocol", metavar="NAME", help="The exchange  [default: the only one that is configured].")
@click.option("--voter", "voters", multiple=True, metavar="ID", help="Send for this voter only; repeatable.")
@click.option("--sender", metavar="COMMAND", help="Signs and sends: takes a vote on standard input, prints its hash.")
@click.option("--check", is_flag=True, help="Only check that the night can be watched and voted in, and end.")
@json_option
@config_option
def watch(
    protocol: str | None,
    voters: tuple[str, ...],
    sender: str | None,
    check: bool,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Follow an exchange to the end of its open epoch: decide at every window and every block of the last minutes.

    Without --sender nothing is sent: the newest vote is written, unsigned, under data/nights. With it, a vote that is
    worth it and passes every guard is handed to the command, and watched until the chain says what became of it.
    Ends with 0 when the epoch's last vote is over, 2 when an attempt failed, 1 when it could not watch.

    \b
    Examples
      foreshore watch --protocol hydrex --check
      foreshore watch --protocol hydrex
      foreshore watch --protocol hydrex --voter 0x2b9f23a551ee94ec33cf07e3873b5b6ab813339a --sender ./sign-and-send
      foreshore watch --protocol hydrex --json
    """
    config = load_config(config_file)
    if sender is not None:
        command_words(sender)
    chosen = _protocol(config, protocol)
    if check:
        checks = asyncio.run(check_night(config, chosen, voters))
        sys.exit(show(checks, as_json))
    sys.exit(asyncio.run(follow(config, chosen, voters, sender, as_json)))


def _protocol(config: Config, asked: str | None) -> str:
    known = list(load_protocols(config.section("voting")))
    if asked is None and len(known) == 1:
        return known[0]
    if asked not in known:
        raise RequestError(f"--protocol: name one of {', '.join(known) or 'none (foreshore init configures one)'}")
    return asked


async def follow(config: Config, protocol: str, voters: tuple[str, ...], sender: str | None, as_json: bool) -> int:
    screen = Screen() if out.is_terminal and not as_json else None
    voice = Voice(Notifier.of(config.environ), as_json, screen)
    try:
        night = await _night(config, protocol, voters, sender, voice)
    except ForeshoreError as error:
        voice.tell("not started", f"{protocol}: {error}")
        await voice.end()
        raise
    return night


async def _night(config: Config, protocol: str, voters: tuple[str, ...], sender: str | None, voice: Voice) -> int:
    warehouse, run_id = Warehouse.of(config), new_run_id()
    models = load_models(warehouse)
    async with open_epoch(config, protocol) as epoch:
        planned = [voter.voter_id for voter in epoch.run.voters[protocol]]
        unknown = [voter for voter in voters if voter.lower() not in planned]
        if unknown:
            raise RequestError(f"voter {unknown[0]} is not in seeds/voting/voters.csv; there is: {', '.join(planned)}")
        chosen = [voter for voter in planned if not voters or voter in {v.lower() for v in voters}]
        live = LiveModels(warehouse, models, protocol, epoch.epoch)
        decider = Decider(warehouse, protocol, epoch.epoch)
        decider.check(live)
        with closing(live), closing(Hands(config, epoch, chosen, sender, voice, run_id)) as hands:
            night = Night(config, epoch, live, decider, hands, voice, run_id)
            try:
                await night.run()
            finally:
                await voice.end()
            return 2 if hands.has_failed else 1 if night.is_blind else 0


@click.command()
@click.option("--epoch", metavar="EPOCH", help="Unix seconds or ISO date  [default: the newest that has ended].")
@click.option("--protocol", metavar="NAME", help="Only this exchange  [default: every one].")
@click.option("--voter", metavar="ID", help="Only this voter  [default: every one].")
@json_option
@config_option
def review(epoch: str | None, protocol: str | None, voter: str | None, as_json: bool, config_file: str | None) -> None:
    """The week after: promised at each window, earned in the end, the best possible, and why they differ.

    \b
    Examples
      foreshore review
      foreshore review --epoch 2026-02-19 --protocol hydrex
      foreshore review --voter 34 --json
    """
    moment = None if epoch is None else parse_moment(epoch)
    found = reviews(Warehouse.of(load_config(config_file)), protocol, voter, moment)
    if as_json:
        print_json(found)
        return
    for one in found:
        show_review(one)
