"""The verb `compact`: what keeps a store small over years."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.markup import escape

from extract.compact import LEAST_LOADS, Group, compact, plan
from extract.config import load_config
from extract.land import Lake
from operate.console import out, print_json, table
from operate.lock import building
from operate.options import config_option, json_option
from operate.warehouse import Warehouse


@click.command("compact")
@click.option("--plan", "is_plan", is_flag=True, help="Say what would be merged; do nothing.")
@click.option(
    "--least", type=click.IntRange(min=2), default=LEAST_LOADS, show_default=True, help="Loads that are worth a merge."
)
@json_option
@config_option
def compact_command(is_plan: bool, least: int, as_json: bool, config_file: str | None) -> None:
    """Merge small raw files: the same rows, ledger and times of commit in fewer loads.

    Every load is verified by its hashes first. Kill it anywhere: what was merged counts, the rest stays as it was.
    Neither an extraction nor a build may run meanwhile.

    \b
    Examples
      foreshore compact --plan
      foreshore compact
      foreshore compact --least 2 --json
    """
    config = load_config(config_file)
    lake = Lake.of(config)
    if is_plan:
        _say(plan(lake, least) if lake.has_landed() else [], is_plan=True, as_json=as_json)
    with building(Warehouse.of(config).build_file.parent), lake.lock():
        groups = plan(lake, least) if lake.has_landed() else []
        compact(lake, groups)
    _say(groups, is_plan=False, as_json=as_json)


def _say(groups: list[Group], is_plan: bool, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "source": group.source,
            "loads": len(group.records),
            "files": group.file_count,
            "files_after": len(group.tables) + 1,
            "bytes": group.bytes,
        }
        for group in groups
    ]
    if as_json:
        print_json({"groups": rows, "is_plan": is_plan})
    elif rows:
        cells = [[escape(row["source"]), *(f"{row[name]:,}" for name in list(row)[1:])] for row in rows]
        out.print(table("Would be merged" if is_plan else "Merged", list(rows[0]), cells, right=list(rows[0])[1:]))
    else:
        out.print("Nothing to merge: no source has enough small loads.")
    sys.exit(0 if rows else 3)
