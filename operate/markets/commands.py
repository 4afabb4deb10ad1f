"""`foreshore markets`: the daily run, resolutions, and experiments on old snapshots."""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, date, datetime
from typing import Any

import click
from rich.markup import escape

from extract.config import load_config
from extract.markets.config import load_polymarket
from operate.console import err, out, print_json, table
from operate.lazy import LazyGroup
from operate.log import DurableLog
from operate.markets import report
from operate.markets.backfill import backfill
from operate.markets.daily import DailyRun, Request
from operate.markets.dry import DryStore
from operate.markets.replay import replay
from operate.markets.resolve import Spans, resolve
from operate.markets.rows import run_id_of
from operate.markets.settings import MarketSettings
from operate.markets.sources import Polymarket
from operate.markets.store import Store
from operate.markets.transcript import transcript
from operate.options import config_option, engine_options, json_option, where_of


class Day(click.ParamType):
    """An ISO date."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date: write e.g. 2026-11-21", param, ctx)


@click.group(cls=LazyGroup)
def markets() -> None:
    """Prediction markets: run experiments daily, score them when markets resolve."""


@markets.command()
@click.option("--run-date", type=Day(), help="Day of the run, UTC  [default: today].")
@click.option("--window-days", type=click.IntRange(0, 365), help="Markets that end this many days later  [default: 7].")
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing anywhere.")
@click.option("--force", is_flag=True, help="Compute and write a run anew that is complete already.")
@click.option("--refetch", is_flag=True, help="Take a new snapshot in the place of the one that landed, and run on it.")
@click.option("--debug-artifacts", is_flag=True, help="Also keep one JSON file per market with all inputs and results.")
@engine_options
@json_option
@config_option
def daily(
    run_date: date | None,
    window_days: int | None,
    dry_run: bool,
    force: bool,
    refetch: bool,
    debug_artifacts: bool,
    as_json: bool,
    config_file: str | None,
    **engine: Any,
) -> None:
    """Every experiment on every market that ends exactly N days after the run's date. Run again, it resumes.

    \b
    Examples
      foreshore markets daily
      foreshore markets daily --run-date 2026-11-21 --window-days 7
      foreshore markets daily --dry-run
      foreshore markets daily --run-date 2026-11-21 --refetch
    """
    config, where = load_config(config_file), where_of(engine)
    settings = MarketSettings.of(config, with_models=True)
    request = Request(
        where=where,
        run_date=run_date or datetime.now(UTC).date(),
        window_days=settings.window_days if window_days is None else window_days,
        force=force,
        keep_artifacts=debug_artifacts,
        refetch=refetch,
    )
    store = DryStore.open(settings) if dry_run else Store.open(settings)
    log = None if dry_run else DurableLog(settings.log_file, run_id=run_id_of(request.run_date, request.window_days))
    try:
        run = DailyRun(settings, Polymarket(config, where), store, log, request)
        summary = run.execute()
        calls = store.calls(summary.run_id) if settings.models and not dry_run else []
    finally:
        store.close()
    if isinstance(store, DryStore):
        report.show_dry(store, as_json, summary)
    else:
        is_ours = summary.kind not in ("busy", "done")
        folder = report.leave(settings, summary, run.artifacts, calls) if is_ours else None
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
        source = load_polymarket(config.section("polymarket"))
        spans = Spans(source.resolve_for_days, source.recheck_for_days)
        found = resolve(store, Polymarket(config), spans, log, run_id)
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
        err.print(f"[red]failed[/red] {escape(problem)}")
    sys.exit(found.exit_code)


@markets.command("backfill")
@click.option("--since", type=Day(), help="First run date.")
@click.option("--until", type=Day(), help="Last run date.")
@engine_options
@json_option
@config_option
def backfill_command(
    since: date | None, until: date | None, as_json: bool, config_file: str | None, **engine: Any
) -> None:
    """Run new experiments, and new versions, on snapshots in the ledger: with what was known then.

    \b
    Examples
      foreshore markets backfill
      foreshore markets backfill --since 2026-11-01 --scheduler tcp://10.0.0.5:8786
    """
    where = where_of(engine)
    settings = MarketSettings.of(load_config(config_file), with_models=True)
    store = Store.open(settings)
    try:
        found = backfill(settings, store, DurableLog(settings.log_file, run_id="backfill"), since, until, where)
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


@markets.command("replay")
@click.option("--run-date", type=Day(), required=True, help="Day of the run, UTC.")
@click.option("--window-days", type=click.IntRange(0, 365), help="Its window  [default: 7].")
@engine_options
@json_option
@config_option
def replay_command(
    run_date: date, window_days: int | None, as_json: bool, config_file: str | None, **engine: Any
) -> None:
    """Compute a run's results again from what was kept of it, without a network, and compare.

    \b
    Examples
      foreshore markets replay --run-date 2026-11-21
      foreshore markets replay --run-date 2026-11-21 --engine dask
    """
    where = where_of(engine)
    settings = MarketSettings.of(load_config(config_file), with_models=True)
    run_id = run_id_of(run_date, settings.window_days if window_days is None else window_days)
    store = Store.open(settings)
    try:
        found = replay(settings, store, run_id, where, err.print)
    finally:
        store.close()
    if as_json:
        print_json({**vars(found), "counts": dict(found.counts), "exit_code": found.exit_code})
    elif not found.markets:
        out.print(f"Nothing to do: the ledger has no run {run_id}.")
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counts.items()))
        out.print(f"{run_id}: {found.markets} markets, results {counts}.")
    for place in [] if as_json else found.different[:10]:
        err.print(f"[red]different[/red] {escape(place)}")
    sys.exit(found.exit_code)


@markets.command("transcript")
@click.option("--run-date", type=Day(), required=True, help="Day of the run, UTC.")
@click.option("--window-days", type=click.IntRange(0, 365), help="Its window  [default: 7].")
@click.option("--market", help="Only of this market's id.")
@click.option("--experiment", help="Only of this experiment.")
@json_option
@config_option
def transcript_command(
    run_date: date,
    window_days: int | None,
    market: str | None,
    experiment: str | None,
    as_json: bool,
    config_file: str | None,
) -> None:
    """What language models were asked in a run and what they said.

    \b
    Examples
      foreshore markets transcript --run-date 2026-11-21 --market 507285
      foreshore markets transcript --run-date 2026-11-21 --experiment llm_blind --json
    """
    settings = MarketSettings.of(load_config(config_file))
    run_id = run_id_of(run_date, settings.window_days if window_days is None else window_days)
    store = Store.open(settings)
    try:
        calls = store.calls(run_id, experiment, market)
    finally:
        store.close()
    if as_json:
        print_json([vars(call) for call in calls])
    else:
        out.print(transcript(calls) or f"No model was asked in {run_id}.", markup=False)
    sys.exit(0 if calls else 3)
