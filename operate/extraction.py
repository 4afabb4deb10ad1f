"""The `extract` and `status` verbs: ask, show progress, log durably, answer with an exit code."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from extract.config import Config
from extract.work import Outcome, Report, Step
from operate.causes import by_cause, cause_of
from operate.console import err, out, print_json
from operate.log import DurableLog

LOG_NAME = "extract.jsonl"
SECONDS_BETWEEN_LINES = 15  # off a terminal: four lines a minute tell a stall from work, and fill no log
NIGHT = "FORESHORE_NIGHT"  # the run id of a night, which begins those of its extractions


Extract = Callable[[str, Report], Coroutine[Any, Any, Outcome]]  # (run id, report) to what came of it


def new_run_id(night: str | None = None) -> str:
    """A name for a run: its moment (UTC) or its night's name, and six letters of chance."""
    return f"{night or f'{datetime.now(UTC):%Y%m%dT%H%M%S}'}-{uuid.uuid4().hex[:6]}"


def run_line(config: Config, source: str, request: object, extract: Extract, as_json: bool) -> int:
    """Run one line of extraction with progress and a durable log; exit code 0 done, 1 failed, 2 partial, 3 nothing."""
    night = os.environ.get(NIGHT)
    run_id = new_run_id(night)
    log = DurableLog(config.root / "logs" / LOG_NAME, run_id=run_id, source=source)
    started = time.monotonic()
    log.write("started", request=str(request))
    try:
        with _progress(source, as_json) as show:

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
    _say_outcome(source, outcome, seconds, run_id, as_json)
    return outcome.exit_code


@contextmanager
def _progress(source: str, as_json: bool) -> Iterator[Any]:
    """Bars on a terminal; a line now and then elsewhere, so that a night's log shows rate and time left, too."""
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=as_json or not err.is_terminal, transient=True) as bars:
        task = bars.add_task(f"{source}: planning", total=None)
        told = started = time.monotonic()
        causes: set[str] = set()

        def show(step: Step) -> None:
            nonlocal told
            if step.kind in ("odd", "cluster"):
                err.print(": ".join(escape(text) for text in (step.unit, step.message) if text), soft_wrap=True)
                return
            bars.update(task, description=f"{source}: {step.unit}", total=step.total, completed=step.done)
            now = time.monotonic()
            if not as_json and not err.is_terminal and now - told >= SECONDS_BETWEEN_LINES:
                told = now
                err.print(progress_line(source, step.done, step.total, now - started))
            if step.kind in ("failed", "outdated") and cause_of(step.message) not in causes:
                causes.add(cause_of(step.message))  # the next of the same cause are counted at the end
                err.print(f"[red]{step.kind}[/red] {step.unit}: {escape(step.message)}")

        yield show


def progress_line(source: str, done: int, total: int, seconds: float) -> str:
    """How far a line of extraction is after so many seconds: units, rate a minute, and seconds left at that rate."""
    rate = done / seconds
    left = f", about {(total - done) / rate:.0f} s left" if total and done else ""
    return f"{source}: {done} of {total or 'an unknown number of'} partitions, {60 * rate:.0f} a minute{left}"


def _say_outcome(source: str, outcome: Outcome, seconds: float, run_id: str, as_json: bool) -> None:
    if as_json:
        print_json({**vars(outcome), "exit_code": outcome.exit_code, "seconds": round(seconds, 2), "run_id": run_id})
        return
    if outcome.exit_code == 3:
        out.print(f"Nothing to do for {source}: all {outcome.skipped} partitions are complete.")
        return
    out.print(
        f"Extracted {source}: {outcome.complete} partitions ({outcome.rows:,} rows, {outcome.calls:,} calls) in "
        f"{seconds:.1f} s; {outcome.skipped} were complete already; {outcome.failed} failed."
    )
    told = (line.partition(": ") for line in outcome.errors)
    for line in by_cause((what, why) for what, _, why in told):
        err.print(f"[red]failed[/red] {escape(line)}")
    if outcome.failed:
        err.print("Run the same command again to retry what failed; what is complete stays.")
