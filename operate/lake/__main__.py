"""The warehouse in DuckLake (`--target lake`): built by several machines, read as it stood at any publication.

    .venv-lake/bin/python -m operate.lake build door       what all wings share: first, and after each extraction
    .venv-lake/bin/python -m operate.lake build bars       a wing, on any machine; wings may be built at once
    .venv-lake/bin/python -m operate.lake sql "select count(*) from bars_m5" [--as-of 2026-11-23]

`make lake` makes the environment: DuckDB 1.5.5 with its extensions from packages, for there are none for the DuckDB
that builds everything else. `FORESHORE_LAKE` names the catalog (`postgres:dbname=... host=...`; keys come from libpq's
own variables and files), `FORESHORE_LAKE_DATA` the place of its files (a folder, or `s3://bucket/path`, with keys from
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), `FORESHORE_LAKE_BUILD` this builder's own file: the stamp of its builds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import duckdb

from extract.errors import ForeshoreError
from operate.lake.ask import ask
from operate.lake.build import build
from operate.lake.catalog import LakeError
from operate.stamp import UNITS


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
    except (LakeError, ForeshoreError, duckdb.Error) as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
