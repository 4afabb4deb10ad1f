"""The warehouse in DuckLake (`--target lake`): built by several machines at once, read as it stood at any publication.

    .venv-lake/bin/python -m operate.lake build door       what all wings share: first, and after each extraction
    .venv-lake/bin/python -m operate.lake build bars       a wing, on any machine; wings may be built at once
    .venv-lake/bin/python -m operate.lake sql "select count(*) from bars_m5" [--as-of 2026-11-23]

`make lake` makes the environment: DuckDB 1.5.5 with DuckLake's and PostgreSQL's extensions from packages, for there are
none for the DuckDB that builds everything else. `FORESHORE_LAKE` names the catalog (`postgres:dbname=... host=...`;
keys come from libpq's own variables and files), `FORESHORE_LAKE_DATA` the folder of its files, `FORESHORE_LAKE_BUILD`
this builder's own file, which holds the stamp of its builds. What a stamp vouches for is noted in the lake with the
snapshot at which it stood; readers see each unit at such a snapshot, and nothing that no audit has passed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from operate.shelf import moment_of, quoted
from operate.stamp import UNITS, read_stamp

CATALOG, DATA, BUILD = "FORESHORE_LAKE", "FORESHORE_LAKE_DATA", "FORESHORE_LAKE_BUILD"
DEFAULTS = {CATALOG: "postgres:dbname=foreshore", DATA: "data/lake/files", BUILD: "data/lake/build.duckdb"}
EXTENSIONS = ("postgres_scanner", "ducklake")
WINGS = tuple(unit for unit in UNITS if unit != "door")
ASSEMBLED = "config.meta.assembled:true"  # what is made of all wings belongs to none
PUBLICATIONS = "lake.audit.publications"


class LakeError(RuntimeError):
    """dbt shows the message of a RuntimeError as it is."""


class Plugin(BasePlugin):
    """Named in profiles.yml, first: the lake is attached with what it loads."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        load(conn)


def load(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the extensions from their packages; nothing is fetched. Errors: LakeError."""
    for name in EXTENSIONS:
        spec = importlib.util.find_spec(f"duckdb_extension_{name}")
        folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" if spec and spec.origin else None
        file = folder / f"{name}.duckdb_extension" if folder else None
        if file is None or not file.exists():
            raise LakeError(
                f"DuckDB {duckdb.__version__} has no {name} extension here: `make lake` makes an environment that has, "
                ".venv-lake"
            )
        connection.execute(f"load {quoted(file)}")


def build(unit: str) -> int:
    """Build and test a unit in the lake, then note what passed; exit code 0, or 1 where it did not."""
    others = [*(f"{of}{wing}" for wing in WINGS for of in ("tag:", "path:tests/data/")), ASSEMBLED]
    chosen = ["--select", f"tag:{unit}"] if unit in WINGS else ["--exclude", *others]
    # only tests whose every table is this unit's: another builder writes the rest
    tests = "buildable" if unit in WINGS else "cautious"
    command = ["build", "--target", "lake", *chosen, "--indirect-selection", tests]
    done = subprocess.run([str(Path(sys.executable).parent / "dbt"), *command], check=False)
    return 1 if done.returncode or publish(unit) is None else 0


def publish(unit: str) -> int | None:
    """Note the snapshot at which a unit stands, if the stamp of this builder vouches for it; None where it does not."""
    with duckdb.connect(_setting(BUILD), read_only=True) as built:
        [(name,)] = built.execute("select current_database()").fetchall()
        stamp = read_stamp(built, name)
    if stamp is None:
        raise LakeError(f"{_setting(BUILD)} has no stamp: nothing was built")
    # what this unit reads of the door, the door's builder vouches for; what joins wings is nobody's here
    mine, door = ({node.node_id for node in stamp.relations(name)} for name in (unit, "door"))
    tests = [test for test in stamp.tests if not mine.isdisjoint(test.reads) and mine | door >= set(test.reads)]
    wrong = [why for node in [*stamp.relations(unit), *tests] if (why := stamp.objection(node))]
    if wrong:
        print(f"held back {unit}: {'; '.join(wrong[:3])}", file=sys.stderr)
        return None
    tables = [f"{node.schema}.{node.name}" for node in stamp.relations(unit) if node.materialized in ("table", "seed")]
    with _lake() as connection:
        connection.execute("create schema if not exists lake.audit")
        connection.execute(
            f"create table if not exists {PUBLICATIONS} (unit varchar, snapshot_id bigint, published_at timestamptz, "
            "invocation_id varchar, tables varchar)"
        )
        [(snapshot,)] = connection.execute("select max(snapshot_id) from lake.snapshots()").fetchall()
        row = [unit, snapshot, datetime.now(UTC), stamp.invocations[stamp.built_in(unit)], json.dumps(tables)]
        connection.execute(f"insert into {PUBLICATIONS} values (?, ?, ?, ?, ?)", row)
    print(f"published {unit}: {len(tables)} tables at snapshot {snapshot}", file=sys.stderr)
    return int(snapshot)


def ask(text: str, as_of: str | None = None) -> list[dict[str, Any]]:
    """The rows of a query on every unit as its newest publication left it, or the newest until a moment (UTC)."""
    until = moment_of(as_of) if as_of else datetime.now(UTC)
    with _lake(read_only=True) as connection:
        found = connection.execute(
            f"select unit, max_by(snapshot_id, snapshot_id), max_by(tables, snapshot_id) from {PUBLICATIONS} "
            "where published_at <= ? group by unit",
            [until],
        ).fetchall()
        if not found:
            raise LakeError(f"nothing was published in the lake until {until:%Y-%m-%d %H:%M:%S} UTC")
        for _, snapshot, tables in found:
            for table in json.loads(tables):
                schema, name = table.split(".")
                connection.execute(f'create schema if not exists "{schema}"')
                connection.execute(
                    f'create view "{schema}"."{name}" as from lake."{schema}"."{name}" at (version => {snapshot})'
                )
        answer = connection.execute(text)
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _lake(read_only: bool = False) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    load(connection)
    connection.execute("set TimeZone = 'UTC'")
    terms = ["read_only"] if read_only else [f"data_path {quoted(Path(_setting(DATA)))}"]
    catalog = "ducklake:" + _setting(CATALOG).replace("'", "''")
    connection.execute(f"attach '{catalog}' as lake ({', '.join(terms)})")
    return connection


def _setting(name: str) -> str:
    return os.environ.get(name) or DEFAULTS[name]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build a unit, test it, note what passed").add_argument("unit", choices=UNITS)
    asking = verbs.add_parser("sql", help="ask what was published; a JSON object a row")
    asking.add_argument("text")
    asking.add_argument("--as-of", metavar="MOMENT", help="as it stood then; a day means its end")
    asked = parser.parse_args(arguments)
    try:
        if asked.verb == "build":
            return build(asked.unit)
        for row in ask(asked.text, asked.as_of):
            print(json.dumps(row, default=str))
    except (LakeError, duckdb.Error) as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
