"""The verbs of what runs alone: overnight, verify, doctor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from extract.config import load_config
from operate import doctor as examination
from operate import verify as morning
from operate.checks import FAIL, OK, show, spoken
from operate.console import out
from operate.lazy import LazyGroup
from operate.notify import Notifier
from operate.options import config_option, json_option
from operate.overnight import Night, Settings
from operate.schedule import CRON, KINDS, Schedule


@click.group(cls=LazyGroup, invoke_without_command=True)
@config_option
@click.pass_context
def overnight(context: click.Context, config_file: str | None) -> None:
    """Extract every configured wing, build, publish, draw the report; tell whoever asked how it went.

    Steps that stay partial are tried again with growing pauses. A night that was killed is simply run again. Who is
    told: FORESHORE_NOTIFY_URL (a webhook, or ntfy+https://host/topic), FORESHORE_NOTIFY_COMMAND (message on standard
    input) and FORESHORE_PING_URL (asked after every healthy night, so that silence alarms). Exit codes: 0 well, 2
    partial, 1 failed.

    \b
    Examples
      foreshore overnight
      foreshore overnight install --at 02:00 --for systemd --env-file ~/.foreshore.env --write
    """
    context.obj = config_file
    if context.invoked_subcommand is None:
        config = load_config(config_file)
        night = Night(config, Settings.of(config), Notifier.of(os.environ))
        code = night.execute()
        for step in night.steps:
            out.print(f"{step.name}: {step.code} after {step.seconds:.1f} s, tried {step.tries} times", soft_wrap=True)
        sys.exit(code)


@overnight.command()
@click.option("--at", default="02:00", metavar="HH:MM", help="Local time of day.  [default: 02:00]")
@click.option("--for", "kind", type=click.Choice(KINDS), help="[default: launchd on a Mac, else systemd]")
@click.option("--env-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
              help="NAME=value lines with the keys; it is named in the unit, never copied into it.")  # fmt: skip
@click.option("--write", "is_written", is_flag=True, help="Write the files instead of printing them.")
@config_option
@click.pass_context
def install(
    context: click.Context, at: str, kind: str | None, env_file: Path | None, is_written: bool, config_file: str | None
) -> None:
    """Print, or write, what starts a night every day: a systemd timer, a launchd job or a crontab line.

    \b
    Examples
      foreshore overnight install --for cron
      foreshore overnight install --for launchd --at 03:30 --write
    """
    config = load_config(config_file or context.obj)
    kind = kind or ("launchd" if sys.platform == "darwin" else "systemd")
    schedule = Schedule.of(at, config.path, env_file)
    if kind == CRON:
        click.echo(schedule.crontab(), nl=False)
    for path, text in schedule.files(kind, Path.home()).items():
        if is_written:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            click.echo(f"wrote {path}", err=True)
        else:
            click.echo(f"# {path}\n{text}")
    click.echo(f"then: {schedule.after(kind)}", err=True)


@click.command()
@click.option("--notify", "is_told", is_flag=True, help="Send what is not well to the notifier, and ping it.")
@json_option
@config_option
def verify(is_told: bool, as_json: bool, config_file: str | None) -> None:
    """The morning's look: last night, partitions, freshness, publication, gates, growth, disk; what to do about each.

    Exit code 1 where something failed.

    \b
    Examples
      foreshore verify
      foreshore verify --notify --json
    """
    checks = morning.verify(load_config(config_file))
    code = show(checks, as_json)
    if is_told:
        notifier = Notifier.of(os.environ)
        if any(check.verdict == FAIL for check in checks):
            notifier.tell("Foreshore needs a look", spoken(checks))
        notifier.ping(not code)
    sys.exit(code)


@click.command()
@json_option
@config_option
def doctor(as_json: bool, config_file: str | None) -> None:
    """What a set-up needs: configuration, store, disk, keys present, providers, archive, log ranges, clocks, contracts.

    Keys are never shown. Exit code 1 where something failed.

    \b
    Examples
      foreshore doctor
      foreshore doctor --json
    """
    checks = examination.examine(load_config(config_file))
    notifier = Notifier.of(os.environ)
    told = "nobody is told" if notifier.is_silent else "set"
    checks.append(examination.Check("notifier", OK, told))
    sys.exit(show(checks, as_json))
