"""Which release this is, and stores that another one wrote."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner

from extract.compact import compact, plan
from extract.errors import ConfigError, StorageError
from extract.integrity import audit, prepare
from extract.lake import STORE_VERSION, Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, Ledger, LedgerRow, ledger_table, now, partition_of
from operate.cli import cli
from operate.version import checkout_commit

ROOT = Path(__file__).parents[3]


def test_the_version_names_the_commit() -> None:
    told = CliRunner().invoke(cli, ["--version"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.exit_code == 0 and told.output.startswith("foreshore, version ")
    if head.returncode == 0:
        assert checkout_commit(ROOT) == head.stdout.strip()
        assert head.stdout[:12] in told.output


def test_packed_and_loose_and_detached_and_none(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    git.mkdir()
    assert checkout_commit(tmp_path) is None
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
    assert checkout_commit(tmp_path) == "a" * 40
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text(f"{'b' * 40}\n")
    assert checkout_commit(tmp_path) == "b" * 40
    (git / "HEAD").write_text("c" * 40)
    assert checkout_commit(tmp_path) == "c" * 40


@pytest.mark.parametrize("version", [STORE_VERSION + 1, 0, "1"])
def test_a_store_of_another_release_is_refused_with_the_way_out(tmp_path: Path, version: object) -> None:
    (tmp_path / "_store.json").write_text(json.dumps({"version": version, "is_simulated": False}))
    with pytest.raises(StorageError, match="use the release that wrote it, or extract anew"):
        Lake(str(tmp_path)).claim()


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    for text in ("", "[]", '{"version": 1}', "\x00"):
        (tmp_path / "_store.json").write_text(text)
        with pytest.raises(StorageError, match="is damaged"):
            Lake(str(tmp_path)).claim()


def test_a_store_that_nothing_here_speaks_is_one_line() -> None:
    with pytest.raises(ConfigError, match="name a folder"):
        Lake("nosuchprotocol://bucket/raw")


@pytest.fixture
def earlier(tmp_path: Path) -> Lake:
    """A store as the release before compaction wrote it (`80b08cd`): a failure before its success, a partition fetched
    twice, a damaged load that was put aside; its ledger has no `committed_at`, its records no `replaces`."""
    with tarfile.open(ROOT / "tests" / "stores" / "before-compaction.tar.gz") as kept:
        kept.extractall(tmp_path, filter="data")
    return Lake(str(tmp_path / "raw"), is_simulated=False)


THINGS = pa.schema(
    [pa.field("partition_id", pa.string(), nullable=False), pa.field("value", pa.int64(), nullable=False)]
)


def standing(lake: Lake) -> dict[str, tuple[list[int], int, bool]]:
    """By partition: values of its newest complete load, attempts, whether it was damaged."""
    rows, found = lake.read_committed("things", THINGS).to_pylist(), {}
    for name, state in Ledger.read(lake).states.items():
        load = state.complete["load_id"] if state.complete else None
        mine = [row["value"] for row in rows if row["partition_id"] == name and row["load_id"] == load]
        found[name] = (mine, state.attempts, state.was_damaged)
    return found


KEPT = {
    "bars/m5/HOOD/2025-11": ([5, 6], 1, False),
    "bars/m5/TIDE/2025-11": ([3, 4], 1, False),
    "bars/m5/REEF/2025-11": ([], 1, True),
}


def test_a_store_of_the_release_before_is_read_resumed_and_compacted(earlier: Lake) -> None:
    assert audit(earlier) == [] and standing(earlier) == KEPT
    with earlier.lock():
        assert prepare(earlier, {"things": THINGS}) == []
    ledger = f"read_parquet('{earlier.path}/extract_ledger/*.parquet', union_by_name = true)"
    assert duckdb.sql(f"select count(*), count(committed_at) from {ledger}").fetchall() == [(5, 0)], (
        "the new column is there for dbt, and empty"
    )
    with earlier.lock():
        assert len(compact(earlier, plan(earlier, least_loads=2))) == 1
    assert audit(earlier) == [] and standing(earlier) == KEPT
    row = LedgerRow(partition_of("bars/m5/REEF/2025-11"), COMPLETE, "f00d", "r", now(), now(), rows=1)
    names = pa.table({"partition_id": [row.partition.partition_id], "value": [9]}, schema=THINGS)
    land(earlier, "bars", {"things": names, LEDGER_TABLE: ledger_table([row])})
    assert standing(earlier)["bars/m5/REEF/2025-11"] == ([9], 1, False)
