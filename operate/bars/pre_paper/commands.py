"""The verb `pre-paper`: run a promotion on live bars, land what it said."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from extract.config import load_config
from extract.errors import RequestError
from operate.bars.pre_paper import landing
from operate.bars.pre_paper import run as running
from operate.bars.pre_paper.moment import parse_moment
from operate.lazy import LazyGroup
from operate.options import config_option, json_option


@click.group("pre-paper", cls=LazyGroup)
def pre_paper() -> None:
    """The promoted strategy on live bars: a signal only when history is whole."""


@pre_paper.command("run")
@click.option("--manifest", required=True, metavar="PATH", help="run_manifest.json of a backtest that was a SUCCESS.")
@click.option("--provider", metavar="NAME", help="Of [[bars.providers]], with live bars  [default: [bars] provider].")
@click.option("--feed", metavar="NAME", help="The series you expect; anything but the backtest's is refused.")
@click.option("--symbols", metavar="A,B,...", help="On which symbols  [default: the backtest's].")
@click.option("--require-promotable", is_flag=True, help="Refuse a backtest that did not pass every promotion gate.")
@click.option("--replay-from", metavar="TIME", help="Take the time from the bars, from this moment on (ISO, UTC).")
@json_option
@config_option
def pre_paper_run(
    manifest: str,
    provider: str | None,
    feed: str | None,
    symbols: str | None,
    require_promotable: bool,
    replay_from: str | None,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Run one session: signals only on sufficient history, NO-SIGNALS with the reason otherwise.

    \b
    Every parameter comes from the manifest; what its promotion gates said is told first. Exit code 2: some bar closes
    could not be judged.
    Examples
      foreshore pre-paper run --manifest artifacts/backtests/HOOD-M5-.../run_manifest.json
      foreshore pre-paper run --manifest PATH --provider alpaca --feed iex --symbols HOOD,AAPL,SPY
      foreshore pre-paper run --manifest PATH --require-promotable
    """
    names = tuple(name.strip() for name in symbols.split(",") if name.strip()) if symbols else ()
    if symbols is not None and not names:
        raise RequestError("--symbols is empty: name at least one, e.g. --symbols HOOD,AAPL")
    moment = None if replay_from is None else parse_moment(replay_from)
    asked = running.Asked(Path(manifest), provider, feed, names, moment, require_promotable)
    sys.exit(running.run(load_config(config_file), asked, as_json))


@pre_paper.command("land")
@click.option("--run", "run_id", metavar="RUN_ID", help="Only this run  [default: every run that is new or has grown].")
@json_option
@config_option
def pre_paper_land(run_id: str | None, as_json: bool, config_file: str | None) -> None:
    """Land runs in the raw zone: after the next build `pre_paper_parity` compares them with the backtest.

    \b
    Examples
      foreshore pre-paper land
      foreshore pre-paper land --run HOOD-M5-20250602-20260306-0123456789-20260309-abcdef
    """
    sys.exit(landing.land_runs(load_config(config_file), run_id, as_json))
