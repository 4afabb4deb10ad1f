"""`foreshore markets`: the daily run, resolutions, and experiments on old snapshots."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, date, datetime
from typing import Any

import click

from extract.config import load_config
from extract.markets.config import load_polymarket
from operate.console import err, out, print_json, table
from operate.log import DurableLog
from operate.markets import report
from operate.markets.backfill import backfill
from operate.markets.daily import DailyRun, Request
from operate.markets.resolve import resolve
from operate.markets.settings import MarketSettings
from operate.markets.sources import Polymarket
from operate.markets.store import DryStore, Store, run_id_of
from operate.options import config_option, json_option


class Day(click.ParamType):
    """An ISO date."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date: write e.g. 2026-11-21", param, ctx)


@click.group()
def markets() -> None:
    """Prediction markets: run experiments daily, score them when markets resolve."""


@markets.command()
@click.option("--run-date", type=Day(), help="Day of the run, UTC  [default: today].")
@click.option("--window-days", type=click.IntRange(0, 365), help="Markets that end this many days later  [default: 7].")
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing anywhere.")
@click.option("--force", is_flag=True, help="Compute and write a run anew that is complete already.")
@click.option("--debug-artifacts", is_flag=True, help="Also keep one JSON file per market with all inputs and results.")
@json_option
@config_option
def daily(
    run_date: date | None,
    window_days: int | None,
    dry_run: bool,
    force: bool,
    debug_artifacts: bool,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Every experiment on every market that ends exactly N days after the run's date. Run again, it resumes.

    \b
    Examples
      foreshore markets daily
      foreshore markets daily --run-date 2026-11-21 --window-days 7
      foreshore markets daily --dry-run
    """
    config = load_config(config_file)
    settings = MarketSettings.of(config)
    request = Request(
        run_date=run_date or datetime.now(UTC).date(),
        window_days=settings.window_days if window_days is None else window_days,
        force=force,
        keep_artifacts=debug_artifacts,
    )
    store = DryStore.open(settings) if dry_run else Store.open(settings)
    log = None if dry_run else DurableLog(settings.log_file, run_id=run_id_of(request.run_date, request.window_days))
    try:
        run = DailyRun(settings, Polymarket(config), store, log, request)
        summary = run.execute()
    finally:
        store.close()
    if isinstance(store, DryStore):
        report.show_dry(store, as_json, summary)
    else:
        is_ours = summary.kind not in ("busy", "done")
        folder = report.leave(settings, summary, run.artifacts) if is_ours else None
        report.show(summary, as_json, folder)
    sys.exit(summary.exit_code)


@markets.command("resolve")
@json_option
@config_option
def resolve_command(as_json: bool, config_file: str | None) -> None:
    """Fetch how our markets ended, by id, and note what is final.

    \b
    Examples
      foreshore markets resolve
      foreshore markets resolve --json
    """
    config = load_config(config_file)
    settings = MarketSettings.of(config)
    run_id = f"resolve-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    log = DurableLog(settings.log_file, run_id=run_id)
    store = Store.open(settings)
    try:
        for_days = load_polymarket(config.section("polymarket")).resolve_for_days
        found = resolve(store, Polymarket(config), for_days, log, run_id)
    finally:
        store.close()
    if as_json:
        print_json({**vars(found), "exit_code": found.exit_code})
    elif not found.asked:
        out.print("Nothing to do: the end of every market in the ledger is known.")
    else:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items()))
        out.print(f"Asked for {found.asked} markets: {counts or 'no answer'}.")
    for problem in [] if as_json else found.problems[:10]:
        err.print(f"[red]failed[/red] {problem}", markup=True)
    sys.exit(found.exit_code)


@markets.command("backfill")
@click.option("--since", type=Day(), help="First run date.")
@click.option("--until", type=Day(), help="Last run date.")
@json_option
@config_option
def backfill_command(since: date | None, until: date | None, as_json: bool, config_file: str | None) -> None:
    """Run new experiments, and new versions, on snapshots in the ledger: with what was known then.

    \b
    Examples
      foreshore markets backfill
      foreshore markets backfill --since 2026-11-01
    """
    settings = MarketSettings.of(load_config(config_file))
    store = Store.open(settings)
    try:
        found = backfill(settings, store, DurableLog(settings.log_file, run_id="backfill"), since, until)
    finally:
        store.close()
    if as_json:
        failures = [vars(failure) for failure in found.failures]
        print_json({**vars(found), "failures": failures, "exit_code": found.exit_code})
    else:
        rows = [(name, *(kinds[kind] for kind in report.KINDS)) for name, kinds in sorted(found.results.items())]
        if rows:
            out.print(table("", ["experiment", *(f"{kind}s" for kind in report.KINDS)], rows))
        out.print(f"{found.amended} markets of {found.runs} runs have new results; {len(found.failures)} failures.")
    sys.exit(found.exit_code)
