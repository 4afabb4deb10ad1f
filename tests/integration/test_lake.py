"""`--target lake`: the same models and tests in DuckLake on a PostgreSQL catalog, by several builders, and its past.

`make lake` makes the environment; a machine without PostgreSQL's programs skips, and says so.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.bars.raw_bars import land_bars
from benchmarks.lending.panel import lake as land_lending
from benchmarks.markets.raw_markets import land_markets
from benchmarks.voting.raw_voting import land_voting
from tests.lake_fixtures import Builder, two_builders
from tests.line_fixtures import ROOT
from tests.object_store import SECRET, running
from tests.postgres_fixtures import Postgres

pytestmark = pytest.mark.long
BARS = "select count(*) as bars, count(distinct symbol) as symbols, sum(volume)::bigint as volume from bars_m5"
# a table's rows whatever their order, said alike by both versions
ROWS = (
    "select '{0}' as name, count(*) as count, md5(string_agg(hash, '' order by hash)) as hash "
    "from (select md5(to_json(rows)::varchar) as hash from ({1}) as rows)"
)
# a quantile between two values: the versions differ in its last digit
ROUNDED = {"main.preboundary_backtest_summary": "* replace (round(p10_realised_usd, 6) as p10_realised_usd)"}


def test_four_wings_by_two_builders_are_what_duckdb_2_builds(postgres: Postgres, tmp_path: Path) -> None:
    one, other = two_builders(postgres, tmp_path)
    land_markets(one.shared, 20, 12)
    land_voting(one.raw, 6, gauges=20, voters=20)
    land_bars(one.raw, 2, 30)
    land_lending(one.shared, 3, 20)
    assert "`build door` first" in other.run("build", "voting", code=1)
    ledger = one.shared / "ledger" / "markets.duckdb"
    copied(ledger, "latest")  # as releases before wrote it
    assert "was made for a newer DuckDB" in one.run("build", "door", code=1)
    copied(ledger, "v1.2.0")  # as docs/scale.md says
    one.run("build", "door")
    for mine, theirs in (("bars", "voting"), ("markets", "lending")):
        at_once = [one.start("build", mine), other.start("build", theirs)]
        wait_until(lambda: one.in_catalog("select count(*) from pg_locks where locktype = 'advisory'") == 4)
        assert "is being built by another" in other.run("build", mine, code=1)
        assert "is being built by another" in other.run("build", "door", code=1)
        said = [process.communicate(timeout=900) for process in at_once]
        assert [process.returncode for process in at_once] == [0, 0], said
        assert f"published {mine}" in said[0][1] and f"published {theirs}" in said[1][1]

    listed, passed = audited(one)
    left = listed - passed - audited(other)[1]
    assert len(listed) > 400 and len(left) == 3 and all("gate_verdicts" in name for name in left), left
    built, lake = plain(one), {}
    for row in other.rows(" union all ".join(map(rows_of, built))):
        lake[row["name"]] = (row["count"], row["hash"])
    assert lake == built
    assert {wing["wing"] for wing in one.rows("select distinct wing from gate_verdicts")} >= {"voting", "bars"}


def copied(ledger: Path, version: str) -> None:
    part = ledger.with_suffix(".part")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{ledger}' as old (read_only)")
        connection.execute(f"attach '{part}' as new (storage_version '{version}')")
        connection.execute("copy from database old to new")
    part.replace(ledger)


def audited(builder: Builder) -> tuple[set[str], set[str]]:
    """Every relation and test of the project, and those that passed at this builder."""
    with duckdb.connect(str(builder.stamp), read_only=True) as stamp:
        listed = stamp.execute("select node_id from audit.nodes where materialized is distinct from 'ephemeral'")
        names = {name for (name,) in listed.fetchall()}
        passed = stamp.execute("select node_id from audit.results where status in ('success', 'pass')").fetchall()
    return names, {name for (name,) in passed}


def plain(builder: Builder) -> dict[str, tuple[int, str]]:
    """Every table as DuckDB 2 builds it from the same raw zone with the same models."""
    environment = {
        **os.environ,
        "FORESHORE_RAW": builder.raw,
        "FORESHORE_BUILD": str(builder.folder / "plain" / "foreshore.duckdb"),
        "DBT_TARGET_PATH": str(builder.folder / "plain" / "target"),
        "DBT_LOG_PATH": str(builder.folder / "plain" / "dbt_logs"),
    }
    command = [str(ROOT / ".venv" / "bin" / "dbt"), "--quiet", "build", "--exclude-resource-type", "test", "unit_test"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(environment["FORESHORE_BUILD"], read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        tables = "select schema_name || '.' || table_name from duckdb_tables() where schema_name <> 'audit' order by 1"
        names = [name for (name,) in connection.execute(tables).fetchall()]
        found = connection.execute(" union all ".join(map(rows_of, names))).fetchall()
    full = {name: (count, value) for name, count, value in found if count}
    assert len(full) > 90 and {"main.bars_m5", "main.csu_daily_panel", "main.experiment_scores"} <= full.keys()
    return {name: (count, value) for name, count, value in found}


def rows_of(table: str) -> str:
    return ROWS.format(table, f"select {ROUNDED.get(table, '*')} from {table}")


def test_what_was_killed_or_failed_is_not_read_and_the_past_can_be_asked(postgres: Postgres, tmp_path: Path) -> None:
    """Tables in the lake are newer than what an audit passed: readers get the publication before."""
    one, other = two_builders(postgres, tmp_path)
    land_bars(one.raw, 2, 30)
    one.run("build", "door")
    one.run("build", "bars")
    [first] = one.rows(BARS)
    moment = datetime.now(UTC).isoformat()
    assert first["symbols"] == 2

    land_bars(one.raw, 1, 30, first=2)
    one.run("build", "door")  # which tells what has landed
    building, changes = one.start("build", "bars"), bars_changed(one)
    wait_until(lambda: bars_changed(one) > changes, building)
    os.killpg(building.pid, signal.SIGKILL)
    building.communicate()
    assert one.newest("select count(distinct symbol) from lake.bars_m5") == 3  # there, and nobody audited it
    assert other.rows(BARS) == [first]

    one.run("build", "bars")
    [now] = other.rows(BARS)
    assert now["symbols"] == 3 and now["bars"] > first["bars"]
    assert other.rows(BARS, "--as-of", moment) == [first]
    assert "nothing was published" in one.run("sql", BARS, "--as-of", "2020-01-01", code=1)

    land_bars(one.raw, 1, 30, first=2)  # the same rows at the same time, which a test forbids
    one.run("build", "door")
    one.run("build", "bars", code=1)
    assert other.rows(BARS) == [now]


def bars_changed(builder: Builder) -> int:
    made = "select count(*) from ducklake_snapshot_changes where changes_made like '%bars_m5%'"
    return int(builder.in_catalog(made))


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.05)


def test_its_files_stand_in_an_object_store_and_its_keys_nowhere(postgres: Postgres, tmp_path: Path) -> None:
    with running() as store:
        one, other = two_builders(postgres, tmp_path, "s3://lake/warehouse", **store.environ)
        land_bars(one.raw, 2, 30)
        one.run("build", "door")
        said = one.run("build", "bars")
        [first] = other.rows(BARS)
        assert first["symbols"] == 2 and first["bars"] > 4_000
        files = [key for key in store.stored() if re.fullmatch(r"warehouse/.+\.parquet", key)]
        assert len(files) > 10 and not list(tmp_path.rglob("ducklake-*.parquet"))
        moment = datetime.now(UTC).isoformat()
        land_bars(one.raw, 1, 30, first=2)
        store.faults.throttled = store.faults.cut = 0.04
        one.run("build", "door")
        one.run("build", "bars")
        store.faults.heal()
        assert store.faults.seen["throttled"] + store.faults.seen["cut"] > 0
        assert other.rows(BARS)[0]["symbols"] == 3 and other.rows(BARS, "--as-of", moment) == [first]

        said += one.run("sql", "from duckdb_settings()") + one.run("sql", "from duckdb_secrets()")
        assert "redacted" in said and SECRET not in said
        other.keys = {"AWS_ENDPOINT_URL": store.endpoint, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        assert "set AWS_ACCESS_KEY_ID" in other.run("sql", BARS, code=1)
    files_here: list[Any] = [f for root in (tmp_path, postgres.folder) for f in root.rglob("*") if f.is_file()]
    assert len(files_here) > 100 and not [f for f in files_here if SECRET.encode() in f.read_bytes()]
