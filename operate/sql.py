"""The verb `sql`: statements over what was published, read-only, in the form that a person or a program wants."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import click
from rich.markup import escape

from extract.config import load_config
from extract.errors import RequestError
from operate.console import Fitted, as_text, out, print_json, printable, to_json
from operate.csv_text import unformulated
from operate.options import config_option
from operate.shell import run_shell
from operate.warehouse import Answer, Warehouse, ask

FORMATS = ("table", "csv", "tsv", "json", "ndjson", "md", "parquet")


@click.command()
@click.argument("statement", required=False)
@click.option("--file", "file", metavar="FILE", help="Statements from a file; '-' is standard input.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="[default: table]")
@click.option("--out", "target", metavar="FILE", help="Write there instead; parquet needs it.")
@click.option("--as-of", metavar="MOMENT|PUBLICATION", help="As it was published then, e.g. 2026-11-23 (its end, UTC).")
@click.option("--json", "as_json", is_flag=True, help="One object with columns and rows, for programs.")
@config_option
def sql(
    statement: str | None,
    file: str | None,
    form: str | None,
    target: str | None,
    as_of: str | None,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Query what was published, read-only. Several statements, parted by `;`, are answered in order.

    On a terminal and without a statement it is a shell: DuckDB's own command line, where that is installed.

    Values are exact: none is ever cut (rows that do not fit are shown as records), money is rounded to the cent and
    votes to whole ones in tables only, doubles round-trip in every other format, CSV quotes words that a spreadsheet
    would run, and JSON has whole numbers beyond 2^53 as strings.

    --as-of answers from the publication that stood then: what was known, not what is known of it now. Publications are
    kept for eight days ([storage] keep_publications_days); each names itself in `select * from publications`.

    \b
    Examples
      foreshore sql "select * from preboundary_snapshot_coverage"
      foreshore sql --as-of 2026-11-23 "select * from gate_verdicts"
      foreshore sql "select count(*) from preboundary_snapshots" --json
      foreshore sql "select * from csu_daily_panel" --format parquet --out panel.parquet
      foreshore sql
      foreshore sql --file questions.sql --format csv
      echo "select * from extract_ledger" | foreshore sql --file - --format ndjson
    """
    if statement is None and file is None and sys.stdin.isatty():
        sys.exit(run_shell(Warehouse.of(load_config(config_file), as_of)))
    text = _statements(statement, file)
    form = form or "table"
    if form == "parquet" and target is None:
        raise click.UsageError("parquet is no text: say where it goes with --out FILE")
    answers = ask(Warehouse.of(load_config(config_file), as_of), text, as_arrow=form == "parquet")
    if form == "parquet":
        _parquet(answers, str(target))
        return
    if as_json:
        for answer in answers:
            print_json({"columns": answer.columns, "rows": answer.rows})
        return
    if form == "table" and target is None:
        for number, answer in enumerate(answers):
            if number:
                out.print()
            out.print(_table(answer))
        return
    with Path(target).open("w", newline="", encoding="utf-8") if target else nullcontext(sys.stdout) as stream:
        for answer in answers:
            WRITERS.get(form, _csv)(answer, stream)


def _statements(statement: str | None, file: str | None) -> str:
    if (statement is None) == (file is None):
        raise click.UsageError("give one statement, or --file FILE ('-' reads standard input)")
    if file is None:
        return str(statement)
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read: {error}") from None


def _table(answer: Answer) -> Fitted:
    numbers = {c for n, c in enumerate(answer.columns) if any(isinstance(row[n], int | float) for row in answer.rows)}
    cells = [[escape(as_text(v, c)) for v, c in zip(row, answer.columns, strict=True)] for row in answer.rows]
    return Fitted("", answer.columns, cells, frozenset(numbers))


def _csv(answer: Answer, stream: IO[str], delimiter: str = ",") -> None:
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow([unformulated(column) for column in answer.columns])
    writer.writerows([_cell(value, stream) for value in row] for row in answer.rows)


def _cell(value: Any, stream: IO[str]) -> str:
    """A value as text: strangers' words are no formula of a spreadsheet, and nothing of a terminal's language."""
    text = as_text(value, is_exact=True)
    text = unformulated(text) if isinstance(value, str) else text
    return printable(text) if stream.isatty() else text


def _json(answer: Answer, stream: IO[str]) -> None:
    records = [dict(zip(answer.columns, to_json(row), strict=True)) for row in answer.rows]
    stream.write(json.dumps(records, default=str, allow_nan=False) + "\n")


def _ndjson(answer: Answer, stream: IO[str]) -> None:
    for row in answer.rows:
        record = dict(zip(answer.columns, to_json(row), strict=True))
        stream.write(json.dumps(record, default=str, allow_nan=False) + "\n")


def _markdown(answer: Answer, stream: IO[str]) -> None:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"

    stream.write(line(answer.columns) + line(["---"] * len(answer.columns)))
    for row in answer.rows:
        stream.write(line([as_text(value, is_exact=True) for value in row]))


WRITERS: dict[str, Callable[[Answer, IO[str]], Any]] = {
    "table": _markdown,
    "csv": _csv,
    "tsv": lambda answer, stream: _csv(answer, stream, "\t"),
    "json": _json,
    "ndjson": _ndjson,
    "md": _markdown,
}


def _parquet(answers: Sequence[Answer], target: str) -> None:
    if len(answers) != 1:
        raise RequestError(f"a parquet file holds one answer, and these are {len(answers)} statements")
    import pyarrow.parquet as pq

    pq.write_table(answers[0].arrow, target, compression="zstd")
