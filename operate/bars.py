"""The verb `extract bars`: ask, show progress, log durably, answer with an exit code."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime

import click
from rich.markup import escape

from extract.bars.days import parse_day
from extract.bars.run import BarRequest, extract_bars, plan_bars
from extract.config import Config, load_config
from extract.voting.run import Outcome, Step
from operate.console import err, out, print_json, table
from operate.extraction import LOG_NAME
from operate.log import DurableLog
from operate.options import config_option, json_option


@click.command("bars")
@click.option("--symbol", "symbols", multiple=True, required=True, help="Symbol, e.g. HOOD; repeatable.")
@click.option("--from", "first", metavar="DATE", help="First day, New York; default: a file's first.")
@click.option("--to", "last", metavar="DATE", help="Last day, New York; default: the newest session that is over.")
@click.option("--provider", metavar="NAME", help="Of [[bars.providers]]  [default: `[bars] provider`].")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Skip what is complete, or fetch everything anew."
)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True, help="Fetches in flight.")
@click.option("--plan", is_flag=True, help="Print what is due and why; ask nothing, land nothing.")
@json_option
@config_option
def extract_bars_command(
    symbols: tuple[str, ...],
    first: str | None,
    last: str | None,
    provider: str | None,
    resume: bool,
    workers: int,
    plan: bool,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Five-minute bars of a provider, per symbol and month; labelled by their open, in UTC.

    \b
    Examples
      foreshore extract bars --symbol HOOD --from 2025-05-12 --to 2026-03-12
      foreshore extract bars --symbol HOOD --symbol AAPL --provider files
      foreshore extract bars --symbol HOOD --from 2025-05-12 --plan --json
    """
    days = [parse_day(text, option) if text else None for text, option in ((first, "--from"), (last, "--to"))]
    request = BarRequest(symbols, days[0], days[1], provider, resume, workers)
    config = load_config(config_file)
    sys.exit(show_plan(config, request, as_json) if plan else run_bars(config, request, as_json))


def run_bars(config: Config, request: BarRequest, as_json: bool) -> int:
    """Extract; exit code 0 done, 1 failed, 2 partial, 3 nothing to do."""
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    log = DurableLog(config.root / "logs" / LOG_NAME, run_id=run_id, source="bars")
    started = time.monotonic()
    log.write("started", request=str(request))

    def report(step: Step) -> None:
        log.write(step.kind, unit=step.unit, done=step.done, total=step.total, rows=step.rows, message=step.message)
        if step.kind == "failed" and not as_json:
            err.print(f"[red]failed[/red] {step.unit}: {escape(step.message)}")

    try:
        outcome = asyncio.run(extract_bars(config, request, run_id, report))
    except BaseException as error:
        log.write("stopped", error=type(error).__name__)
        raise
    seconds = time.monotonic() - started
    counts = {"complete": outcome.complete, "failed": outcome.failed, "skipped": outcome.skipped}
    log.write("finished", **counts, seconds=round(seconds, 1))
    log.close()
    _say(outcome, seconds, run_id, as_json)
    return outcome.exit_code


def _say(outcome: Outcome, seconds: float, run_id: str, as_json: bool) -> None:
    if as_json:
        print_json({**vars(outcome), "exit_code": outcome.exit_code, "seconds": round(seconds, 2), "run_id": run_id})
    elif outcome.exit_code == 3:
        out.print(f"Nothing to do: all {outcome.skipped} months are complete.")
    else:
        out.print(
            f"Extracted {outcome.complete} months ({outcome.rows:,} bars, {outcome.calls:,} calls) in {seconds:.1f} s; "
            f"{outcome.skipped} were complete already; {outcome.failed} failed."
        )
        if outcome.failed:
            err.print("Run the same command again to retry what failed; what is complete stays.")


def show_plan(config: Config, request: BarRequest, as_json: bool) -> int:
    """Print what an extraction would do. Exit code 0, or 3 when nothing is due."""
    planned = asyncio.run(plan_bars(config, request))
    due = sum(month.row is not None for month in planned)
    if as_json:
        rows = [
            {
                "partition_id": m.partition.partition_id,
                "from": m.span.first,
                "to": m.span.last,
                "is_due": m.row is not None,
                "why": m.why,
            }
            for m in planned
        ]
        print_json({"partitions": rows, "due": due})
        return 0 if due else 3
    groups = Counter((m.partition.key, m.why or "complete") for m in planned)
    shown = [(key, count, why) for (key, why), count in sorted(groups.items())]
    out.print(table("Plan", ["symbol", "months", "why"], shown, right=["months"]))
    out.print(f"\n{due} of {len(planned)} months are due. Nothing was done.")
    return 0 if due else 3
