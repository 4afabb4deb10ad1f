"""Verbs of the command line, killed at their n-th step: each in a fork of a process that has imported all of them."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import dbt.adapters.duckdb.connections
import dbt.cli.main  # noqa: F401

import extract.package  # noqa: F401  # dlt, which whoever lands loads
from operate import cli
from operate.lazy import LazyGroup
from tests.kill_points import ROOT, serve


def load(group: click.Group) -> None:
    """Import every verb, as a call of it would."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, LazyGroup):
            load(command)


def run(asked: dict[str, Any]) -> int:
    """One command line in this process; its exit code."""
    os.environ.update(asked["environment"])
    os.chdir(ROOT)
    sys.argv = ["foreshore", *asked["arguments"]]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


if __name__ == "__main__":
    load(cli.cli)
    serve(run)
