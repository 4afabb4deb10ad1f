"""The verb `doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from rich.markup import escape

from extract.config import load_config
from extract.evm.redact import redact
from operate.console import out, print_json, printable
from operate.doctor import chains, machine
from operate.doctor.line import FAIL, OK, WARN, Line
from operate.options import config_option, json_option

STYLE = {OK: "green", WARN: "yellow", FAIL: "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Ask no provider.")
@json_option
@config_option
def doctor(offline: bool, as_json: bool, config_file: str | None) -> None:
    """What stands in the way of the next run: configuration, keys, providers, clock, disk, versions, the store, seeds.

    Each line says what cures it; keys are never shown. Seeds are held against the chain of today.

    Exit code 0 when nothing fails (warnings may stand), 2 when something does.

    \b
    Examples
      foreshore doctor
      foreshore doctor --offline
      foreshore doctor --json
    """
    config = load_config(config_file)
    told = machine.configuration(config)
    is_sound = all(line.verdict != FAIL for line in told)
    told += [*machine.keys(config), *machine.disk(config), *machine.versions(), *machine.store(config)]
    if not offline and is_sound:
        told += chains.look(config)
    lines = [Line(line.about, line.verdict, printable(redact(line.found)), line.cure) for line in told]
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        for line in lines:
            style = STYLE[line.verdict]
            out.print(
                f"[{style}]{line.verdict:<5}[/{style}] {escape(line.about)}: {escape(line.found)}", soft_wrap=True
            )
            if line.cure:
                out.print(f"      cure: {escape(line.cure)}", soft_wrap=True)
    sys.exit(2 if any(line.verdict == FAIL for line in lines) else 0)
