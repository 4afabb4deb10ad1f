"""What people see: one console, tables that fit a terminal, errors without tracebacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 240  # a file or a pipe has no width of its own: never wrap what a program or a reader scrolls through


def _console(stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


out = _console(stderr=False)
err = _console(stderr=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> Table:
    """A plain table; columns named in `right` are right-aligned."""
    shown = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    numeric = set(right)
    for column in columns:
        shown.add_column(column, justify="right" if column in numeric else "left", overflow="ellipsis", no_wrap=True)
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row))
    return shown


def to_json(value: Any) -> Any:
    """JSON form of a database value: exact integers stay integers, times are ISO in UTC, bytes are hex."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, float) and value != value:
        return None
    return value


def print_json(value: Any) -> None:
    """One line of JSON on standard output, for programs."""
    print(json.dumps(to_json(value), default=str))
