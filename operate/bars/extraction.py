"""The verb `extract bars`: ask, show progress, log durably, answer with an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import click

from extract.bars.days import parse_day
from extract.bars.run import BarRequest, extract_bars, plan_bars
from extract.config import Config, load_config
from extract.ledger import Partition
from operate.console import out, print_json, table
from operate.extraction import run_line
from operate.options import config_option, engine_options, json_option, where_of


@click.command("bars")
@click.option("--symbol", "symbols", multiple=True, required=True, help="Symbol, e.g. HOOD; repeatable.")
@click.option("--from", "first", metavar="DATE", help="First day, New York; default: a file's first.")
@click.option("--to", "last", metavar="DATE", help="Last day, New York; default: the newest session that is over.")
@click.option("--provider", metavar="NAME", help="Of [[bars.providers]]  [default: `[bars] provider`].")
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Skip what is complete, or fetch everything anew."
)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True, help="Fetches in flight.")
@engine_options
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
    **engine: Any,
) -> None:
    """Five-minute bars of a provider, per symbol and month; labelled by their open, in UTC.

    \b
    Examples
      foreshore extract bars --symbol HOOD --from 2025-05-12 --to 2026-03-12
      foreshore extract bars --symbol HOOD --symbol AAPL --provider files
      foreshore extract bars --symbol HOOD --from 2025-05-12 --plan --json
    """
    days = [parse_day(text, option) if text else None for text, option in ((first, "--from"), (last, "--to"))]
    request = BarRequest(symbols, days[0], days[1], provider, resume, workers, where_of(engine))
    config = load_config(config_file)
    sys.exit(show_plan(config, request, as_json) if plan else run_bars(config, request, as_json))


def refetch(config: Config, partitions: Sequence[Partition], as_json: bool) -> list[int]:
    """Fetch partitions again that are complete no more; exit codes, one per symbol and month."""
    codes = []
    for partition in partitions:
        provider, symbol = partition.key.split("/", 1)
        first = date.fromisoformat(f"{partition.window}-01")
        last = date(first.year + first.month // 12, first.month % 12 + 1, 1) - timedelta(days=1)
        codes.append(run_bars(config, BarRequest((symbol,), first, last, provider), as_json))
    return codes


def run_bars(config: Config, request: BarRequest, as_json: bool) -> int:
    """Extract; exit code 0 done, 1 failed, 2 partial, 3 nothing to do."""
    return run_line(
        config, "bars", request, lambda run_id, report: extract_bars(config, request, run_id, report), as_json
    )


def show_plan(config: Config, request: BarRequest, as_json: bool) -> int:
    """Print what an extraction would do. Exit code 0, or 3 when nothing is due."""
    plan = asyncio.run(plan_bars(config, request))
    planned = plan.months
    due = sum(month.row is not None for month in planned)
    if as_json:
        rows = [
            {
                "partition_id": m.partition.partition_id,
                "from": m.span.first,
                "to": m.span.last,
                "is_due": m.row is not None,
                "why": m.why,
                "files": list(m.files),
            }
            for m in planned
        ]
        print_json({"partitions": rows, "due": due, "refused": plan.refused})
        return _plan_code(due, plan.refused)
    groups = Counter((m.partition.key, m.why or "complete", ", ".join(m.files)) for m in planned)
    shown = [(key, count, why, files) for (key, why, files), count in sorted(groups.items())]
    out.print(table("Plan", ["symbol", "months", "why", "files"], shown, right=["months"], prose=["why", "files"]))
    for symbol, reason in plan.refused.items():
        out.print(f"[red]{symbol}[/red]: {reason}", soft_wrap=True)
    out.print(f"\n{due} of {len(planned)} months are due. Nothing was done.")
    return _plan_code(due, plan.refused)


def _plan_code(due: int, refused: Mapping[str, str]) -> int:
    if refused:
        return 2 if due else 1
    return 0 if due else 3
