"""What people see: one console, tables that fit a terminal, errors without tracebacks."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

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


LEAST_PROSE = 18  # characters a wrapped sentence needs: a narrower column reads like a ladder


@dataclass(frozen=True)
class Fitted:
    """A plain table that never cuts a value: columns of `prose` wrap at words, those in `drop` go, one after the other,
    and where that is not enough a few rows are turned on their side, more are shown as records.

    `right`: columns that are right-aligned. What was left out or shown otherwise is said.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()
    drop: Sequence[str] = ()
    prose: frozenset[str] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        gone: list[str] = []
        for column in (None, *self.drop):
            gone += [column] if column is not None else []
            shown = self._table(gone)
            if self._least_width(console, options, gone) <= options.max_width:
                yield shown
                if gone:
                    yield Text(f"not shown at this width: {printable(', '.join(gone))} (--json has them)", "dim")
                return
        turned = self._turned()
        if len(self.rows) > 1 and Measurement.get(console, options.update(width=PIPED_WIDTH), turned).maximum <= (
            options.max_width
        ):
            yield turned
            yield Text("too wide for a table here: a column per row", "dim")
        else:
            yield from self._records()

    def _least_width(self, console: Console, options: ConsoleOptions, gone: Collection[str]) -> int:
        """Of a table without the columns `gone`, sentences wrapped as far as they may be."""
        wide = options.update(width=PIPED_WIDTH)
        natural = Measurement.get(console, wide, self._table(gone)).maximum
        spared = 0
        for n, column in enumerate(self.columns):
            if column in self.prose and column not in gone:
                longest = max(Text.from_markup(text).cell_len for text in (column, *(row[n] for row in self.rows)))
                words = (word for row in self.rows for word in Text.from_markup(row[n]).plain.split())
                spared += max(0, longest - max(LEAST_PROSE, max(map(len, words), default=0)))
        return natural - spared

    def _table(self, gone: Collection[str]) -> Table:
        made = Table(
            title=self.title or None, title_justify="left", title_style="bold", header_style="bold", box=None,
            pad_edge=False,
        )  # fmt: skip
        kept = [n for n, column in enumerate(self.columns) if column not in gone]
        for n in kept:
            side: Literal["left", "right"] = "right" if self.columns[n] in self.right else "left"
            is_prose = self.columns[n] in self.prose
            made.add_column(escape(printable(self.columns[n])), justify=side, no_wrap=not is_prose, overflow="fold")
        for row in self.rows:
            made.add_row(*(row[n] for n in kept))
        return made

    def _turned(self) -> Table:
        """The table on its side: a line per column, under the values of the first one."""
        made = Table(
            title=self.title or None, title_justify="left", title_style="bold", show_header=False, box=None,
            pad_edge=False,
        )  # fmt: skip
        made.add_column(no_wrap=True)
        for _ in self.rows:
            made.add_column(justify="right", no_wrap=True)
        for n, column in enumerate(self.columns):
            style = "bold" if n == 0 else None
            made.add_row(escape(printable(column)), *(row[n] for row in self.rows), style=style)
        return made

    def _records(self) -> RenderResult:
        if self.title:
            yield Text(self.title, "bold")
        if self.rows:
            yield Text("too wide for a table here: row by row", "dim")
        for number, row in enumerate(self.rows, 1):
            made = Table(show_header=False, box=None, pad_edge=False, title_justify="left", title_style="dim",
                         title=f"row {number}")  # fmt: skip
            made.add_column(no_wrap=True)
            made.add_column(overflow="fold")
            for column, value in zip(self.columns, row, strict=True):
                made.add_row(escape(printable(column)), value)
            yield made


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    right: Iterable[str] = (),
    drop: Sequence[str] = (),
    prose: Iterable[str] = (),
) -> Fitted:
    """A plain table; `right`-aligned columns, those of `prose` that may wrap, and those to `drop`, in that order, where
    it does not fit.

    Values are marked-up text or database values; the latter are escaped.
    """
    told = [[escape(as_text(value)) if not isinstance(value, str) else value for value in row] for row in rows]
    return Fitted(title, list(columns), told, frozenset(right), tuple(drop), frozenset(prose))


_VOTES = re.compile(r"(^|_)votes(_(now|final|forecast|delta_\w+))?$")  # columns that count votes


def as_text(value: Any, column: str = "", is_exact: bool = False) -> str:
    """A database value as text: times in UTC without an offset, null is empty, whole numbers and decimals exactly.

    Doubles are written so that reading them gives the same double; people (not `is_exact`) get money (`_usd`) to the
    cent and votes whole, from one vote on. Control characters of strangers' words are spelled out, so that none reaches
    a terminal.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value.microsecond:06d}" if value.microsecond else "")
    if isinstance(value, float | Decimal) and column.endswith("_usd") and not is_exact and math.isfinite(value):
        return f"{value:.2f}"
    if isinstance(value, float) and not is_exact and _VOTES.search(column) and math.isfinite(value) and abs(value) >= 1:
        return f"{value:.0f}"
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}" if is_exact else f"{value:.0f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple | dict):
        return json.dumps(to_json(value), default=str)
    return str(value) if is_exact else printable(str(value))


def printable(text: str) -> str:
    """Text with control and bidirectional characters spelled out (`\\x1b`), line ends included."""
    return text if text.isprintable() else "".join(map(_spelled, text))


def _spelled(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def say_error(message: str) -> None:
    """One line on standard error; the message is printed as it is, brackets and all."""
    err.print(f"[bold red]error[/bold red] {escape(message)}", soft_wrap=True)


SAFE_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly (RFC 8259, section 6)


def to_json(value: Any) -> Any:
    """JSON form of a database value: times are ISO in UTC, bytes are hex, and no number is ever changed by a reader.

    Whole numbers beyond 2^53 and decimals are strings, as are infinite doubles, for which JSON has no word; not a
    number is null.
    """
    if isinstance(value, Decimal):
        return to_json(int(value)) if value == value.to_integral_value() else f"{value:f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def print_json(value: Any) -> None:
    """One line of JSON on standard output, for programs."""
    print(json.dumps(to_json(value), default=str, allow_nan=False))
