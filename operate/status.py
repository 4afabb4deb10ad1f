"""How far extraction is: what is complete, what fails and why, how a running extraction stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape

from extract.config import Config
from extract.integrity import Damage, audit
from extract.lake import Lake
from extract.ledger import Ledger, PartitionState
from operate.causes import by_cause
from operate.console import out, print_json, table
from operate.extraction import LOG_NAME
from operate.gates import failing_gates, show_gates
from operate.log import last_lines
from operate.warehouse import Warehouse


def show_status(config: Config, as_json: bool) -> int:
    """What is complete, what fails and why, and how a running extraction stands. Exit code 2 when something
    fails, 3 when nothing was ever extracted."""
    lake = Lake.of(config)
    damages = audit(lake)
    states = list(Ledger.read(lake, {damage.load_id for damage in damages}).states.values())
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
    warehouse = Warehouse.of(config)
    if as_json:
        damaged = [vars(damage) for damage in damages]
        told = {"groups": rows, "failing": failing, "running": running, "damaged": damaged}
        print_json({**told, "failing_gates": failing_gates(warehouse)})
    elif not rows and not damages:
        out.print("Nothing has been extracted yet: run `foreshore extract all`.")
    else:
        columns = ["source", "table_group", "window", "complete", "failing", "rows", "newest_fetch_at"]
        shown = [[*(r[c] for c in columns[:-1]), f"{r['newest_fetch_at']:%Y-%m-%d %H:%M:%S}"] for r in rows]
        out.print(table("Extraction", columns, shown, right=columns[3:6], drop=columns[6:]))
        for line in by_cause(told_failing(failing)):
            out.print(f"[red]failing[/red] {escape(line)}", soft_wrap=True)
        show_damages(damages)
        if running:
            out.print(
                f"running: {running['unit']}, {running['done']} of {running['total']} units, "
                f"about {running['seconds_left']} s left"
            )
        show_gates(warehouse)
    return 2 if failing or damages else 0 if rows else 3


def told_failing(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What fails and why, of the newest ledger rows of failing partitions."""
    for row in rows:
        yield f"{row['partition_id']} after {row['attempts']} attempts", row["error_message"] or "no reason was given"


def show_damages(damages: Sequence[Damage]) -> None:
    """Raw files that are not as they were landed, with their partitions, and the command that cures it."""
    for damage in damages:
        out.print(f"[red]damaged[/red] {escape(damage.spoken())}")
    if damages:
        out.print("Run [bold]foreshore repair[/bold]: what no newer load holds is fetched again.")


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
