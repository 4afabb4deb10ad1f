"""Failing gates as people read them: which key, why, what it is left out of, and the command that cures it."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from extract.errors import ForeshoreError
from operate.console import out
from operate.warehouse import Warehouse, query

SHOWN = 20

_FAILING = """
    select wing, gate_key, gate, verdict, left_out_of, evidence, cure
    from gate_verdicts where verdict = 'fail' order by all
"""
_WARNING = "select wing, gate, count(*) from gate_verdicts where verdict = 'warn' group by all order by all"


def failing_gates(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Every published verdict `fail`; none where nothing is published."""
    try:
        columns, rows = query(warehouse, _FAILING)
    except ForeshoreError:  # nothing published yet, or by a version that had no verdicts
        return []
    return [dict(zip(columns, row, strict=True)) for row in rows]


def show_gates(warehouse: Warehouse) -> int:
    """Print the failing gates of what is published, and count the warnings; returns how many fail."""
    failing = failing_gates(warehouse)
    for row in failing[:SHOWN]:
        out.print(
            f"[red]gate failed[/red] {row['wing']} {escape(row['gate_key'])} {row['gate']}, left out of "
            f"{row['left_out_of']}: {escape(row['evidence'])}\n    cure: [bold]{escape(row['cure'])}[/bold]",
            soft_wrap=True,
        )
    if len(failing) > SHOWN:
        out.print(f"... and {len(failing) - SHOWN} more: select * from gate_verdicts where verdict = 'fail'")
    return len(failing)


def show_verdicts(warehouse: Warehouse) -> None:
    """One line on what holds, then what fails."""
    _, warned = query(warehouse, _WARNING)
    warnings = ", ".join(f"{wing} {gate} ({count})" for wing, gate, count in warned) or "none"
    out.print(f"\nGates: {len(failing_gates(warehouse))} keys fail; warnings: {warnings}")
    show_gates(warehouse)
