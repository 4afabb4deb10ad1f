"""`foreshore extract markets`: land one day's snapshot, or the ends of markets that landed earlier."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape

from extract.config import Config, load_config
from extract.lake import Lake
from extract.ledger import Partition, now
from extract.markets.daily import BOOK, DOCUMENTS, PRICES, DayIngest
from extract.markets.elsewhere import ingest
from extract.markets.package import commit
from extract.markets.truth import ResolutionFetch, fetch_resolutions, pending_markets, replaced_by_newer
from extract.work import Report, Step
from operate.console import err, out, print_json
from operate.log import DurableLog
from operate.options import config_option, engine_options, json_option, where_of

LOG_NAME = "extract.jsonl"


@click.command("markets")
@click.option("--run-date", type=click.DateTime(["%Y-%m-%d"]), help="Day of the run, UTC  [default: today].")
@click.option("--window-days", type=click.IntRange(0), default=7, show_default=True, help="Markets that close so late.")
@click.option(
    "--with", "wants", multiple=True, type=click.Choice([PRICES, BOOK, DOCUMENTS]), help="Also land these; repeatable."
)
@click.option("--resolutions", is_flag=True, help="Instead: how the markets that landed so far have ended.")
@click.option("--refetch", is_flag=True, help="Take a new snapshot in the place of one that landed.")
@engine_options
@json_option
@config_option
def extract_markets(
    run_date: datetime | None,
    window_days: int,
    wants: Sequence[str],
    resolutions: bool,
    refetch: bool,
    as_json: bool,
    config_file: str | None,
    **engine: Any,
) -> None:
    """Prediction markets that close on run date + window days (UTC), as one snapshot.

    \b
    Examples
      foreshore extract markets
      foreshore extract markets --run-date 2026-01-05 --window-days 7 --with price_history --with books
      foreshore extract markets --run-date 2026-01-05 --refetch
      foreshore extract markets --resolutions
    """
    config, where = load_config(config_file), where_of(engine)
    if resolutions and where.is_cluster:
        raise click.UsageError("--resolutions asks for what landed here: leave out --engine, --scheduler and --hosts")
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    log = DurableLog(config.root / "logs" / LOG_NAME, run_id=run_id, source="markets")
    log.write("started", request=" ".join(sys.argv[1:]))
    started = time.monotonic()

    def report(step: Step) -> None:
        log.write(step.kind, unit=step.unit, done=step.done, total=step.total, rows=step.rows, message=step.message)

    try:
        if resolutions:
            said = _resolutions(config, run_id, report)
        else:
            day = (run_date or now()).date()
            asked = {"wants": frozenset(wants), "refetch": refetch}
            said = _day(asyncio.run(ingest(config, where, (day, window_days), run_id, report, **asked)))
    except BaseException as error:
        log.write("stopped", error=type(error).__name__)
        raise
    said |= {"run_id": run_id, "seconds": round(time.monotonic() - started, 2)}
    log.write("finished", **said)
    _say(said, as_json)
    sys.exit(said["exit_code"])


def _day(made: DayIngest) -> dict[str, Any]:
    """What a day came to. Exit code 3 when it had landed before, 2 when something is missing."""
    is_idle = made.is_reused and not made.requests
    return {
        "target_date": f"{made.day.start_at:%Y-%m-%d}",
        "markets": made.markets.num_rows,
        "left_out": dict(sorted(Counter(made.refusals.column("reason").to_pylist()).items())),
        "history_points": made.price_history.num_rows,
        "history_points_dropped": made.dropped_points,
        "books": made.books.num_rows,
        "documents": made.documents.num_rows,
        "requests": made.requests,
        "problems": list(made.problems),
        "exit_code": 2 if made.problems else 3 if is_idle else 0,
    }


def _resolutions(config: Config, run_id: str, report: Report) -> dict[str, Any]:
    ids = pending_markets(config)
    made = asyncio.run(fetch_resolutions(config, ids, run_id, report)) if ids else ResolutionFetch()
    failed = 1 if ids and not made.rows.num_rows else 2
    return {
        "asked": len(ids),
        "counts": dict(sorted(made.counts.items())),
        "requests": made.requests,
        "problems": list(made.problems),
        "exit_code": failed if made.problems else 0 if ids else 3,
    }


def _say(said: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(said)
        return
    words = {name: value for name, value in said.items() if name not in ("problems", "exit_code", "run_id")}
    for name, value in words.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        out.print(f"{name.replace('_', ' '):<15} {escape(text)}")
    for problem in said["problems"]:
        err.print(f"[red]missing[/red] {escape(problem)}")
    if said["problems"]:
        err.print("Run the same command again to fetch what is missing; what is complete stays.")


def refetch(config: Config, partitions: Sequence[Partition], as_json: bool) -> list[int]:
    """Ask again how markets ended whose answers were damaged; exit codes.

    A listing of the past cannot be asked for again: the source tells the present only, and a later snapshot in its
    place would have seen the future.
    """
    ends = [partition for partition in partitions if partition.table_group == "resolutions"]
    codes = [2 for partition in partitions if partition not in ends]
    for partition in partitions:
        if partition not in ends:
            err.print(
                f"{escape(partition.partition_id)} is lost: what the source listed then cannot be asked for again."
            )
    if not ends:
        return codes
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    said = _resolutions(config, run_id, lambda step: None)
    if not as_json:
        _say(said, as_json)
    if said["exit_code"] in (0, 3):  # newer answers stand in other partitions: these are replaced by no rows
        replaced = [replaced_by_newer(partition, run_id) for partition in ends]
        asyncio.run(commit(Lake.of(config), {}, replaced, wait_seconds=60))
    return [*codes, said["exit_code"]]
