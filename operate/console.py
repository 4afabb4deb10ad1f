"""What people see: one console, tables that fit a terminal, errors without tracebacks."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

PIPED_WIDTH = 10_000  # a file or a pipe has no width of its own: nothing is cut or wrapped there


def _take_any_text() -> None:
    """What a terminal's encoding does not have is shown by its number: no word of a source ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _console(stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=PIPED_WIDTH)


_take_any_text()
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
        shown.add_row(*(escape(as_text(value)) if not isinstance(value, str) else value for value in row))
    return shown


def as_text(value: Any) -> str:
    """A database value as people read it: times in UTC without an offset, floats to four decimals, null is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{round(value, 4):g}" if abs(value) < 1e6 else f"{value:.2f}"
    return str(value)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Query results: a table where it fits, else one record below the other, so that nothing is cut off."""
    cells = [[escape(as_text(value)) for value in row] for row in rows]
    shown = table("", columns, cells)
    natural = Measurement.get(out, out.options.update(width=PIPED_WIDTH), shown).maximum
    if natural <= out.width:
        out.print(shown)
        return
    for number, row in enumerate(cells, 1):
        out.print(table(f"row {number}", ["column", "value"], zip(columns, row, strict=True)))


def say_error(message: str) -> None:
    """One line on standard error; the message is printed as it is, brackets and all."""
    err.print(f"[bold red]error[/bold red] {escape(message)}", soft_wrap=True)


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
