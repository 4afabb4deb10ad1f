"""The `extract` and `status` verbs: ask, show progress, log durably, answer with an exit code."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from extract.config import Config
from extract.land import Lake
from extract.ledger import Ledger, PartitionState
from extract.voting.plan import PlannedPartition, Request, plan_voting
from extract.voting.run import extract_voting
from extract.work import Outcome, Report, Step
from operate.console import err, out, print_json, table
from operate.log import DurableLog, last_lines

LOG_NAME = "extract.jsonl"
CALLS_PER_SECOND = 2_000  # a plan's guess of view calls per second for a provider that has not been measured yet


Extract = Callable[[str, Report], Coroutine[Any, Any, Outcome]]  # (run id, report) to what came of it


def run_voting(config: Config, request: Request, as_json: bool) -> int:
    """Extract the voting line; exit code 0 done, 1 failed, 2 partial, 3 nothing to do."""
    return run_line(
        config, "voting", request, lambda run_id, report: extract_voting(config, request, run_id, report), as_json
    )


def run_line(config: Config, source: str, request: object, extract: Extract, as_json: bool) -> int:
    """Run one line of extraction with progress and a durable log; exit code 0 done, 1 failed, 2 partial, 3 nothing."""
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    log = DurableLog(config.root / "logs" / LOG_NAME, run_id=run_id, source=source)
    started = time.monotonic()
    log.write("started", request=str(request))
    try:
        with _progress(as_json) as show:

            def report(step: Step) -> None:
                log.write(
                    step.kind, unit=step.unit, done=step.done, total=step.total, rows=step.rows, message=step.message
                )
                show(step)

            outcome = asyncio.run(extract(run_id, report))
    except BaseException as error:
        log.write("stopped", error=type(error).__name__)
        raise
    seconds = time.monotonic() - started
    log.write(
        "finished", complete=outcome.complete, failed=outcome.failed, skipped=outcome.skipped, seconds=round(seconds, 1)
    )
    _say_outcome(outcome, seconds, run_id, as_json)
    return outcome.exit_code


@contextmanager
def _progress(as_json: bool) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=as_json or not err.is_terminal, transient=True) as bars:
        task = bars.add_task("planning", total=None)

        def show(step: Step) -> None:
            bars.update(task, description=step.unit, total=step.total, completed=step.done)
            if step.kind in ("failed", "outdated"):
                err.print(f"[red]{step.kind}[/red] {step.unit}: {escape(step.message)}")

        yield show


def _say_outcome(outcome: Outcome, seconds: float, run_id: str, as_json: bool) -> None:
    if as_json:
        print_json({**vars(outcome), "exit_code": outcome.exit_code, "seconds": round(seconds, 2), "run_id": run_id})
        return
    if outcome.exit_code == 3:
        out.print(f"Nothing to do: all {outcome.skipped} partitions are complete.")
        return
    out.print(
        f"Extracted {outcome.complete} partitions ({outcome.rows:,} rows, {outcome.calls:,} calls) in {seconds:.1f} s; "
        f"{outcome.skipped} were complete already; {outcome.failed} failed."
    )
    for line in outcome.errors[:10]:
        err.print(f"[red]failed[/red] {escape(line)}")
    if outcome.failed:
        err.print("Run the same command again to retry what failed; what is complete stays.")


def show_plan(config: Config, request: Request, as_json: bool) -> int:
    """Print what an extraction would do; lands nothing. Exit code 0, or 3 when nothing is due."""
    planned = asyncio.run(plan_voting(config, request))
    due = [p for p in planned if p.is_due]
    rate = _measured_rate(config)
    seconds = sum(p.calls for p in due) / rate
    if as_json:
        rows = [
            {"partition_id": p.partition.partition_id, "is_due": p.is_due, "calls": p.calls, "why": p.why}
            for p in planned
        ]
        print_json(
            {
                "partitions": rows,
                "due": len(due),
                "calls": sum(p.calls for p in due),
                "estimated_seconds": round(seconds, 1),
            }
        )
        return 0 if due else 3
    out.print(table("Plan", ["partitions", "due", "calls", "why"], _plan_rows(planned), right=["due", "calls"]))
    out.print(
        f"\n{len(due)} of {len(planned)} partitions are due: about {sum(p.calls for p in due):,} calls, "
        f"{seconds:.0f} s at {rate:,.0f} calls/s. Nothing was done."
    )
    return 0 if due else 3


def _plan_rows(planned: list[PlannedPartition]) -> list[tuple[Any, ...]]:
    groups: dict[tuple[str, str], list[PlannedPartition]] = defaultdict(list)
    for p in planned:
        groups[f"{p.partition.table_group} {p.partition.key.split('/')[0]} {p.partition.window}", p.why].append(p)
    return [
        (name, sum(p.is_due for p in members), f"{sum(p.calls for p in members):,}", why)
        for (name, why), members in sorted(groups.items())
    ]


def _measured_rate(config: Config) -> float:
    """Calls per second of the newest finished run of this lake, or a careful guess."""
    ledger = Ledger.read(Lake(config.raw_url))
    rows = [s.complete for s in ledger.states.values() if s.complete and s.complete["calls"]]
    if not rows:
        return CALLS_PER_SECOND
    newest = max(rows, key=lambda row: row["finished_at"])["run_id"]
    mine = [row for row in rows if row["run_id"] == newest]
    spent = (max(r["finished_at"] for r in mine) - min(r["started_at"] for r in mine)).total_seconds()
    return max(sum(r["calls"] for r in mine) / spent, 1.0) if spent > 0 else CALLS_PER_SECOND


def show_status(config: Config, as_json: bool) -> int:
    """What is complete, what fails and why, and how a running extraction stands. Exit code 2 when something fails."""
    states = list(Ledger.read(Lake(config.raw_url)).states.values())
    groups: dict[tuple[str, str, str], list[PartitionState]] = defaultdict(list)
    for state in states:
        newest = state.newest
        window = newest["partition_window"] if newest["source"] == "voting" else "all"  # others have one for every day
        groups[newest["source"], newest["table_group"], window].append(state)
    rows = [
        {
            "source": source,
            "table_group": group,
            "window": window,
            "complete": sum(s.complete is not None for s in states),
            "failing": sum(s.is_failing for s in states),
            "rows": sum(s.complete["rows"] for s in states if s.complete),
            "newest_fetch_at": max(s.newest["finished_at"] for s in states),
        }
        for (source, group, window), states in sorted(groups.items())
    ]
    failing = [s.newest for s in states if s.is_failing]
    running = running_now(config)
    if as_json:
        print_json({"groups": rows, "failing": failing, "running": running})
    elif not rows:
        out.print("Nothing has been extracted yet: run `make extract`.")
    else:
        columns = ["source", "table_group", "window", "complete", "failing", "rows", "newest_fetch_at"]
        shown = [[*(r[c] for c in columns[:-1]), f"{r['newest_fetch_at']:%Y-%m-%d %H:%M:%S}"] for r in rows]
        out.print(table("Extraction", columns, shown, right=["complete", "failing", "rows"]))
        for row in failing[:20]:
            reason = escape(row["error_message"])
            out.print(f"[red]failing[/red] {row['partition_id']} after {row['attempts']} attempts: {reason}")
        if running:
            out.print(
                f"running: {running['unit']}, {running['done']} of {running['total']} units, "
                f"about {running['seconds_left']} s left"
            )
    return 2 if failing else 0


def running_now(config: Config) -> dict[str, Any] | None:
    """The newest run's progress if it has not finished: units done and the time left at its pace."""
    lines = last_lines(config.root / "logs" / LOG_NAME, 500)
    if not lines or lines[-1]["event"] in ("finished", "stopped"):
        return None
    mine = [line for line in lines if line["run_id"] == lines[-1]["run_id"]]
    newest = mine[-1]
    done, total = newest.get("done", 0), newest.get("total", 0)
    spent = (datetime.fromisoformat(newest["at"]) - datetime.fromisoformat(mine[0]["at"])).total_seconds()
    left = round(spent / done * (total - done)) if done else None
    return {
        "run_id": newest["run_id"],
        "unit": newest.get("unit", ""),
        "done": done,
        "total": total,
        "seconds_left": left,
    }
