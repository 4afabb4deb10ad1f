"""The verbs of the embedded world: up, down, with, run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from extract.config import CONFIG_VARIABLE, load_config
from operate import demo as demo_lines
from operate import worlds
from operate.console import out
from operate.lazy import LazyGroup


@click.group(cls=LazyGroup)
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
    """Start the world, with a store of its own in data/world, until `foreshore demo down`.

    Where foreshore.toml has neither a provider nor data, Foreshore uses it right away; else set FORESHORE_CONFIG.

    \b
    Examples
      foreshore demo up
      foreshore demo up --epochs 3 --gauges 10 --voters 8
    """
    world = worlds.up(**sizes)
    out.print(f"The embedded world is up at {world['rpc_url']}; `foreshore demo down` stops it.")
    if not load_config().is_simulated:
        out.print(f"Use it with: export {CONFIG_VARIABLE}={worlds.config_file()}")


@demo.command("down")
def demo_down() -> None:
    """Stop the embedded world, if it is up; only processes that are provably its own. Its data stay."""
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


@demo.command("night")
@_world_options
def demo_night(**sizes: int) -> None:
    """A boundary night on the embedded chain: watched, voted in, read again after finality, reviewed (two minutes).

    It begins where `foreshore demo run` left the warehouse: run that first, with the same sizes.

    \b
    Examples
      foreshore demo night
    """
    sys.exit(demo_lines.night(**sizes))
