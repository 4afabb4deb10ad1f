"""The verbs `tables` and `describe`: what is published, in words."""

from __future__ import annotations

from difflib import get_close_matches

import click
from rich.markup import escape

from extract.config import load_config
from extract.errors import RequestError
from operate.console import out, print_json, table
from operate.definitions import Definition, definitions
from operate.options import config_option, json_option
from operate.warehouse import Warehouse, query

_PLACES = {"main": "", "main_seeds": "main_seeds.", "main_intermediate": "main_intermediate."}
_TABLES = """
    select schema_name, view_name as table_name
    from duckdb_views()
    where not internal and schema_name in ('main', 'main_seeds', 'main_intermediate')
    union all
    select schema_name, table_name from duckdb_tables() where not internal and schema_name = 'main'
    order by schema_name, table_name
"""
_UNKNOWN = Definition("", {})


@click.command()
@click.option("--all", "is_whole", is_flag=True, help="Seeds and intermediate tables, too.")
@json_option
@config_option
def tables(is_whole: bool, as_json: bool, config_file: str | None) -> None:
    """Published tables with their rows and what a row of each is.

    \b
    Examples
      foreshore tables
      foreshore tables --all --json
    """
    warehouse = Warehouse.of(load_config(config_file))
    found = [place for place in _published(warehouse) if is_whole or place[0] == "main"]
    union = " union all ".join(
        f'select {n} as n, count(*) as rows from "{schema}"."{name}"' for n, (schema, name) in enumerate(found)
    )
    counts = dict(query(warehouse, union)[1])
    known = definitions()
    rows = [
        {
            "table": f"{_PLACES[schema]}{name}",
            "rows": counts[n],
            "description": known.get(name, _UNKNOWN).description,
        }
        for n, (schema, name) in enumerate(found)
    ]
    if as_json:
        print_json(rows)
        return
    shown = [[escape(str(row["table"])), f"{row['rows']:,}", escape(_first(str(row["description"])))] for row in rows]
    out.print(table("Published tables", ["table", "rows", "what it holds"], shown, ["rows"], prose=["what it holds"]))


@click.command()
@click.argument("name", metavar="TABLE")
@json_option
@config_option
def describe(name: str, as_json: bool, config_file: str | None) -> None:
    """Columns of a published table: type and meaning.

    \b
    Examples
      foreshore describe csu_daily_panel
      foreshore describe main_seeds.decision_windows
    """
    warehouse = Warehouse.of(load_config(config_file))
    places = {f"{_PLACES[schema]}{table_name}": (schema, table_name) for schema, table_name in _published(warehouse)}
    bare = {place[1]: place for place in places.values()}
    place = places.get(name) or bare.get(name)
    if place is None:
        close = get_close_matches(name, sorted({*places, *bare}), 3)
        hint = f"; did you mean {', '.join(close)}?" if close else ": `foreshore tables --all` lists what there is"
        raise RequestError(f"no table {name!r} is published{hint}")
    _, columns = query(warehouse, f'describe "{place[0]}"."{place[1]}"')
    defined = definitions().get(place[1], _UNKNOWN)
    rows = [{"column": c[0], "type": c[1], "definition": defined.columns.get(c[0], "")} for c in columns]
    if as_json:
        print_json({"table": name, "description": defined.description, "columns": rows})
        return
    out.print(escape(defined.description))
    shown = [[escape(row["column"]), escape(_short(row["type"])), escape(row["definition"])] for row in rows]
    out.print(table(name, ["column", "type", "meaning"], shown, prose=["meaning"]))


def _published(warehouse: Warehouse) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in query(warehouse, _TABLES)[1]]


def _short(kind: str) -> str:
    """A type as SQL takes it, in the shortest way."""
    return kind.lower().replace("timestamp with time zone", "timestamptz")


def _first(text: str) -> str:
    """The first sentence."""
    return text.split(". ")[0].rstrip(".")
