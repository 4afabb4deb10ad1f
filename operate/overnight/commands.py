"""`foreshore overnight` and `foreshore overnight install`."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.markup import escape

from extract.config import load_config
from extract.errors import RequestError
from operate.console import err, out, print_json
from operate.lazy import LazyGroup
from operate.lock import building
from operate.options import config_option, json_option
from operate.overnight import install as installing
from operate.overnight.night import Night, output_end
from operate.overnight.settings import closing_steps, night_folder, night_settings
from operate.overnight.telling import ping, tell


@click.group(invoke_without_command=True)
@click.option("--plan", is_flag=True, help="Print the commands of a night; run none.")
@json_option
@config_option
@click.pass_context
def overnight(ctx: click.Context, plan: bool, as_json: bool, config_file: str | None) -> None:
    """One night: extract every configured wing, build, publish, report; tries again what fails, tells how it went.

    What runs is set in [overnight] of foreshore.toml. One night at a time; one that was killed goes on when it is
    started again. A message goes out when something failed, a ping when all went well (docs/overnight.md).
    Exit code 0 all done, 2 something failed, 1 everything failed.

    \b
    Examples
      foreshore overnight
      foreshore overnight --plan
      foreshore overnight install
      foreshore overnight install --kind systemd --write
    """
    if ctx.invoked_subcommand:
        return
    config = load_config(config_file)
    settings, closing = night_settings(config), closing_steps(_verbs(ctx))
    if plan:
        for step in (*settings.lines, *closing):
            out.print(escape(f"foreshore {shlex.join(step.arguments)}"))
        return
    if not settings.lines:
        raise RequestError(
            f"{config.path} has nothing to extract at night: set a provider's variable, or fill [overnight.extract]"
        )
    signal.signal(signal.SIGTERM, _as_interrupt)
    with building(night_folder(config), "runs the night of"):
        result = Night(config, settings, closing).run()
    _tell(result, dict(config.environ))
    if as_json:
        print_json(result)
    else:
        steps = ", ".join(f"{s['name']} {s['exit_code']} ({s['tries']}x, {s['seconds']} s)" for s in result["steps"])
        out.print(escape(f"Night {result['run_id']}: {steps}. Output: {result['output']}"))
    sys.exit(result["exit_code"])


def _verbs(ctx: click.Context) -> list[str]:
    """What this release's command line knows."""
    root = ctx.find_root().command
    return list(root.verbs) if isinstance(root, LazyGroup) else []


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """A system that shuts down asks with SIGTERM: the step is stopped and the night says so in its log."""
    raise KeyboardInterrupt


def _tell(result: dict[str, Any], environ: dict[str, str]) -> None:
    if result["exit_code"] == 0:
        problems = ping(environ)
    else:
        failed = [f"{s['name']}: exit code {s['exit_code']} after {s['tries']} tries"
                  for s in result["steps"] if s["exit_code"] not in (0, 3)]  # fmt: skip
        problems = tell("foreshore: the night failed", [*failed, *output_end(Path(result["output"]), 15)], environ)
    for problem in problems:
        err.print(f"[red]not sent[/red] {escape(problem)}")


@overnight.command()
@click.option("--kind", type=click.Choice(installing.KINDS), help="[default: what this machine has]")
@click.option("--write", is_flag=True, help="Write it; without, it is printed.")
@config_option
def install(kind: str | None, write: bool, config_file: str | None) -> None:
    """How the system starts nights and morning looks by itself: systemd timers, launchd jobs, or crontab lines.

    \b
    Examples
      foreshore overnight install
      foreshore overnight install --kind systemd --write
      foreshore overnight install --kind crontab --write
    """
    config = load_config(config_file)
    settings, kind = night_settings(config), kind or installing.default_kind()
    times = {"overnight": settings.at, "verify": settings.verify_at}
    place = installing.Place(Path(sys.executable), config.path.resolve(), Path.home(), times)
    if write:
        for path in installing.write(kind, place):
            out.print(escape(f"wrote {path}"))
    elif kind == "crontab":
        click.echo(installing.crontab_lines(place), nl=False)
    else:
        for path, text in installing.files(kind, place).items():
            click.echo(f"# {path}\n{text}")
    for command in installing.enabling(kind, place):
        click.echo(command, err=True)
