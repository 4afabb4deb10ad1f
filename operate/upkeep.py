"""The verbs `compact` and `prune`: what keeps a store small over years."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape

from extract.compact import LEAST_LOADS, Group, compact, plan
from extract.config import load_config
from extract.errors import RequestError
from extract.lake import Lake
from extract.prune import WINGS, Going, prune
from extract.prune import plan as plan_prune
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


@click.command("prune")
@click.option("--before", required=True, metavar="DAY", help="Loads committed before this day (UTC), e.g. 2026-01-31.")
@click.option("--wing", "wings", type=click.Choice(WINGS), multiple=True, help="Only these; repeatable.")
@click.option("--apply", "is_applied", is_flag=True, help="Do it; without this it only says what would go.")
@json_option
@config_option
def prune_command(
    before: str, wings: tuple[str, ...], is_applied: bool, as_json: bool, config_file: str | None
) -> None:
    """Drop raw rows that no table is built from: a dry run unless `--apply`.

    Markets: pages of answers (their fields stay). Voting and lending: rows that newer loads replaced. Bars keep all:
    corrections are told from them. Ledger rows stay; published tables stay as they are.

    \b
    Examples
      foreshore prune --before 2026-01-31
      foreshore prune --before 2026-01-31 --wing markets --apply
    """
    moment = _day(before)
    config = load_config(config_file)
    lake = Lake.of(config)
    wanted = wings or WINGS
    if not is_applied:
        _show(plan_prune(lake, moment, wanted), is_applied, as_json)
    with building(Warehouse.of(config).build_file.parent), lake.lock():
        going = plan_prune(lake, moment, wanted)
        prune(lake, going)
    _show(going, is_applied, as_json)


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise RequestError(f"--before {text!r} is no day: write it as 2026-01-31") from None


def _show(going: Sequence[Going], is_applied: bool, as_json: bool) -> None:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in going:
        for place, number in enumerate((1, one.rows, one.bytes * one.rows // max(1, one.of_rows))):
            sums[one.wing, one.table][place] += number
    columns = ["wing", "table", "loads", "rows", "bytes_about"]
    rows = [[wing, name, *numbers] for (wing, name), numbers in sorted(sums.items())]
    if as_json:
        print_json({"going": [dict(zip(columns, row, strict=True)) for row in rows], "is_applied": is_applied})
    elif rows:
        shown = [[*row[:2], *(f"{number:,}" for number in row[2:])] for row in rows]
        out.print(table("Gone" if is_applied else "Would go (add --apply)", columns, shown, right=columns[2:]))
    else:
        out.print("Nothing to prune: every raw row is one that tables are built from.")
    sys.exit(0 if rows else 3)
