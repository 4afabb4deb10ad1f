"""`--target lake`: the same models and tests in DuckLake on a PostgreSQL catalog, by several builders, and its past.

`make lake` makes the environment; a machine without PostgreSQL's programs skips, and says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.bars.raw_bars import land_bars
from benchmarks.lending.panel import lake as land_lending
from tests.line_fixtures import ROOT
from tests.postgres_fixtures import Postgres

pytestmark = pytest.mark.long
PYTHON = ROOT / ".venv-lake" / "bin" / "python"
BARS = "select count(*) as bars, count(distinct symbol) as symbols, sum(volume)::bigint as volume from bars_m5"
PANEL = "select count(*) as days, round(sum(net_tvl_usd), 2) as usd from csu_daily_panel"


@dataclass
class Builder:
    """A machine with a folder of its own; catalog, raw zone and the lake's files are what all see."""

    folder: Path
    catalog: str
    shared: Path

    @property
    def raw(self) -> str:
        return str(self.shared / "raw")

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "FORESHORE_LAKE": self.catalog,
            "FORESHORE_LAKE_DATA": str(self.shared / "files"),
            "FORESHORE_LAKE_BUILD": str(self.folder / "lake" / "build.duckdb"),
            "FORESHORE_RAW": self.raw,
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "dbt_logs"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(PYTHON), "-m", "operate.lake", *arguments]
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,  # a kill is one of dbt, too
        }
        return subprocess.Popen(command, cwd=ROOT, env=self.environ, **pipes)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, errors = process.communicate(timeout=900)
        assert process.returncode == code, said[-3_000:] + errors[-2_000:]
        return said if code == 0 else said + errors

    def ask(self, text: str, *options: str) -> Any:
        return json.loads(self.run("sql", text, *options))

    def newest(self, text: str) -> Any:
        """A value as the lake's tables stand, published or not."""
        code = "import sys; from operate.lake import _lake; print(_lake(True).execute(sys.argv[1]).fetchone()[0])"
        command = [str(PYTHON), "-c", code, f"select {text}"]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def environment() -> None:
    done = subprocess.run(["make", "--silent", "lake"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def builders(environment: None, postgres: Postgres, tmp_path: Path) -> Iterator[tuple[Builder, Builder]]:
    """Two machines, one catalog, one raw zone with data of two wings."""
    import psycopg

    name = f"lake_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    user = postgres.user or os.environ.get("USER", "postgres")
    catalog = f"postgres:dbname={name} host={postgres.folder} user={user}"
    trader, researcher = (Builder(tmp_path / who, catalog, tmp_path / "shared") for who in ("trader", "researcher"))
    land_bars(trader.raw, 2, 30)
    land_lending(researcher.shared, 3, 20)
    yield trader, researcher


def test_wings_are_built_at_once_and_every_publication_can_be_asked(builders: tuple[Builder, Builder]) -> None:
    trader, researcher = builders
    trader.run("build", "door")
    at_once = [trader.start("build", "bars"), researcher.start("build", "lending")]
    said = [process.communicate(timeout=900) for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0], said
    assert "published bars" in said[0][1] and "published lending" in said[1][1]
    first, panel = trader.ask(BARS), researcher.ask(PANEL)
    assert first["symbols"] == 2 and first["bars"] == plain(trader, "bars_m5") and panel["days"] == 60
    moment = datetime.now(UTC).isoformat()

    land_bars(trader.raw, 1, 30, first=2)
    trader.run("build", "door")  # which tells what has landed
    trader.run("build", "bars")
    now = researcher.ask(BARS)
    assert now["symbols"] == 3 and now["bars"] > first["bars"]
    assert researcher.ask(BARS, "--as-of", moment) == first and trader.ask(PANEL) == panel
    assert "nothing was published" in trader.run("sql", BARS, "--as-of", "2020-01-01", code=1)


def plain(builder: Builder, table: str) -> int:
    """Rows of a table as DuckDB's own file has them, built from the same raw zone by the same models."""
    place = builder.folder / "plain"
    place.mkdir()
    environment = {
        **os.environ,
        "FORESHORE_RAW": builder.raw,
        "FORESHORE_BUILD": str(place / "foreshore.duckdb"),
        "DBT_TARGET_PATH": str(place / "target"),
        "DBT_LOG_PATH": str(place / "dbt_logs"),
    }
    command = [
        str(ROOT / ".venv" / "bin" / "dbt"),
        "--quiet",
        "build",
        "--select",
        f"+{table}",
        "--exclude-resource-type",
    ]
    command += ["test", "unit_test"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(str(place / "foreshore.duckdb"), read_only=True) as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchall()[0][0])


def test_a_killed_build_is_not_read(builders: tuple[Builder, Builder]) -> None:
    """Tables in the lake are newer than what an audit passed: readers get the publication before."""
    import psycopg

    trader, _ = builders
    trader.run("build", "door")
    trader.run("build", "bars")
    before = trader.ask(BARS)
    land_bars(trader.raw, 1, 30, first=2)
    trader.run("build", "door")
    building = trader.start("build", "bars")
    with psycopg.connect(trader.catalog.removeprefix("postgres:"), autocommit=True) as catalog:
        made = "select count(*) from ducklake_snapshot_changes where changes_made like '%bars_m5%'"
        count = catalog.execute(made).fetchone()
        deadline = time.monotonic() + 600
        while catalog.execute(made).fetchone() == count:
            assert time.monotonic() < deadline and building.poll() is None
            time.sleep(0.05)
    os.killpg(building.pid, signal.SIGKILL)
    building.communicate()
    assert trader.newest("count(distinct symbol) from lake.bars_m5") == 3  # there to be read, and nobody audited it
    assert trader.ask(BARS) == before
    trader.run("build", "bars")
    assert trader.ask(BARS)["symbols"] == 3
