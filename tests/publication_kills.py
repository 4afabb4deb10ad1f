"""Builds of the small project and their publication, killed at their n-th step."""

from __future__ import annotations

import os
from contextlib import chdir
from typing import Any

import dbt.adapters.duckdb.connections
import dbt.cli.main  # noqa: F401

from operate.lock import building
from operate.rebuild import run_dbt
from operate.warehouse import Warehouse, publish
from tests.kill_points import serve
from tests.publication_fixtures import Small


def build(asked: dict[str, Any]) -> int:
    """One build and publication in this process."""
    small = Small.of(asked["folder"], asked["root"])
    os.environ.update(small.environment())
    warehouse: Warehouse = small.warehouse
    with chdir(small.folder), building(warehouse.build_file.parent):
        run_dbt(warehouse, ["--quiet", "build", *asked["flags"]])
        publish(warehouse)
    return 0


if __name__ == "__main__":
    serve(build)
