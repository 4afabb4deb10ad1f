"""What a build says while it runs: a line for each wing, and failures by their cause, instead of a line a node."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from operate.console import err, printable
from operate.stamp import PASSING, RELATIONS, TESTS, UNITS

QUIET = ("--log-level", "none")  # on the terminal; dbt's own log file keeps everything
FAILING = {"error", "fail", "runtime error", "partial success"}  # an exposure says `no-op`, and failed nothing
NAMES_OF_A_CAUSE = 3
_COLUMNS = (
    TextColumn("{task.description:<10}"),
    BarColumn(bar_width=24),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TimeRemainingColumn(),
)


def unit_of(fqn: Sequence[str]) -> str:
    """The wing a node stands in by its folders, else `door`: what all share."""
    return next((part for part in fqn if part in UNITS), UNITS[0])


def manifest_units() -> dict[str, str]:
    """Node id to unit, from the manifest that dbt writes before its first node runs."""
    target = Path(os.environ.get("DBT_TARGET_PATH") or "target")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    nodes = [*manifest["nodes"].values(), *manifest["unit_tests"].values()]
    return {n["unique_id"]: unit_of(n["fqn"]) for n in nodes if n["resource_type"] in RELATIONS | TESTS}


class Lines:
    """Hears dbt's events, from dbt's threads: what its macros say, and node by node how each unit stands.

    The end of a unit's last node is its line.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._units: dict[str, str] = {}
        self._is_told = False
        self._left: Counter[str] = Counter()
        self._tasks: dict[str, Any] = {}
        self._ends: dict[str, Counter[str]] = defaultdict(Counter)
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, event: Any) -> None:
        if event.info.name == "JinjaLogInfo":
            err.print(escape(printable(event.info.msg)), soft_wrap=True)
        elif event.info.name == "NodeFinished":  # of skipped nodes, too
            told = event.data.node_info
            with self._lock:
                if not self._is_told:
                    self.expect(manifest_units())
                self.ended(told.unique_id, told.resource_type, event.data.run_result.status)

    def expect(self, units: Mapping[str, str]) -> None:
        """Which nodes will end, by id, and the unit of each."""
        self._is_told, self._units = True, dict(units)
        self._left = Counter(units.values())
        self._tasks = {unit: self._bars.add_task(unit, total=self._left[unit]) for unit in UNITS if self._left[unit]}

    def ended(self, node_id: str, kind: str, status: str) -> None:
        """One node's end, counted once; `status` is dbt's word."""
        unit = self._units.pop(node_id, None)
        if unit is None:
            return
        what = "tests" if kind in TESTS else "tables"
        self._ends[unit]["skipped" if status == "skipped" else what if status in PASSING else "failed"] += 1
        self._left[unit] -= 1
        self._bars.advance(self._tasks[unit])
        if not self._left[unit]:
            err.print(self._line(unit))

    def _line(self, unit: str) -> str:
        ends = self._ends[unit]
        bad = "".join(f", [red]{ends[word]} {word}[/red]" for word in ("failed", "skipped") if ends[word])
        verdict = "[red]not passed[/red]" if bad else "[green]passed[/green]"
        return (
            f"{unit:<8} {verdict}  {ends['tables']} tables, {ends['tests']} tests{bad}; "
            f"after {time.monotonic() - self._started:.0f} s"
        )


@contextmanager
def lines() -> Iterator[Lines]:
    """A listener for dbt's events, with bars on a terminal; elsewhere the units' lines alone."""
    with Progress(*_COLUMNS, console=err, disable=not err.is_terminal, transient=True) as bars:
        yield Lines(bars)


def say_failures(results: Sequence[Any]) -> None:
    """Failures of a build, one cause once, and the command that shows all of it; rows were said by the build."""
    causes: dict[str, list[str]] = defaultdict(list)
    for result in results:
        if str(result.status) in FAILING:
            causes[_cause(result)].append(result.node.name)
    for cause, names in causes.items():
        more = f" and {len(names) - NAMES_OF_A_CAUSE} more" if len(names) > NAMES_OF_A_CAUSE else ""
        shown = ", ".join(names[:NAMES_OF_A_CAUSE]) + more
        err.print(f"[red]failed[/red] {escape(printable(f'{shown}: {cause}'))}", soft_wrap=True)
    if causes:
        err.print("`foreshore build --verbose` shows all that dbt prints; logs/dbt.log keeps it.")


def _cause(result: Any) -> str:
    """What the database said, without dbt's frame around it: same words, same cause."""
    said = [line.strip() for line in str(result.message or "").splitlines() if line.strip()]
    words = [line for line in said if not line.startswith(("LINE ", "^", "compiled code at", "Runtime Error in", ">"))]
    return " ".join(words[:2]) or "no reason was given"
