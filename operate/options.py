"""Options that every verb shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from extract.where import Where

config_option = click.option(
    "--config", "config_file", metavar="FILE", help="Configuration; default $FORESHORE_CONFIG, else foreshore.toml."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine`, `--scheduler` and `--hosts`: who does the work (`where_of`)."""
    for option in reversed(
        [
            click.option(
                "--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True, help="Who works."
            ),
            click.option("--scheduler", metavar="ADDR", help="A running Dask scheduler, e.g. tcp://10.0.0.5:8786."),
            click.option(
                "--hosts", metavar="[USER@]HOST[=PYTHON],...", help="Start a worker on each over SSH; a name may recur."
            ),
        ]
    ):
        command = option(command)
    return command


def where_of(options: dict[str, Any]) -> Where:
    """Take the engine's options out of a verb's."""
    engine, scheduler, hosts = (options.pop(name) for name in ("engine", "scheduler", "hosts"))
    if scheduler and hosts:
        raise click.UsageError("--scheduler and --hosts: name one of them")
    return Where(engine, scheduler, tuple(host.strip() for host in (hosts or "").split(",") if host.strip()))
