"""Landing: whole packages or nothing, whatever happens to the process, the disk or the files."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from extract.errors import Busy, StorageError
from extract.lake import Lake, load_id_of
from extract.land import land, land_alone

SCHEMA = pa.schema(
    [pa.field("partition_id", pa.string()), pa.field("n", pa.int64()), pa.field("amount", pa.decimal128(38, 0))]
)
HUGE = 10**37 + 1


def rows(partition: str, count: int = 3) -> pa.Table:
    return pa.table(
        {"partition_id": [partition] * count, "n": list(range(count)), "amount": [HUGE] * count}, schema=SCHEMA
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "raw"))
    lake.declare({"left": SCHEMA, "right": SCHEMA})
    return lake


def test_a_package_lands_whole_and_exact(lake: Lake) -> None:
    load_id = land(lake, "test", {"left": rows("a"), "right": rows("a", 0)})
    assert lake.committed_loads() == [load_id]
    found = lake.read_committed("left", SCHEMA).to_pylist()
    assert [r["amount"] for r in found] == [HUGE] * 3
    assert {r["load_id"] for r in found} == {load_id}
    assert lake.read_committed("right", SCHEMA).num_rows == 0


def test_declared_tables_are_readable_before_anything_landed(lake: Lake) -> None:
    columns = duckdb.sql(f"describe select * from '{lake.path}/left/*.parquet'").fetchall()
    assert ("amount", "DECIMAL(38,0)") in [column[:2] for column in columns]
    assert duckdb.sql(f"select count(*) from '{lake.path}/left/*.parquet'").fetchall() == [(0,)]


def test_files_without_a_commit_record_are_invisible_and_swept(lake: Lake) -> None:
    kept = land(lake, "test", {"left": rows("a")})
    orphan = Path(lake.path) / "left" / "1700000000.5.abcdef.parquet"
    orphan.write_bytes(next(Path(lake.path, "left").glob(f"{kept}.*")).read_bytes())
    half = Path(lake.path) / "left" / "1700000000.6.abcdef.parquet.part"
    half.write_bytes(b"PAR1")
    record = Path(lake.path) / "_dlt_loads" / "test__1700000000.7.jsonl.part"  # of a commit that was killed
    record.write_bytes(b"{")
    assert lake.read_committed("left", SCHEMA).num_rows == 3
    assert lake.sweep() == 3
    assert not orphan.exists() and not half.exists() and not record.exists()
    assert lake.read_committed("left", SCHEMA).num_rows == 3


def test_work_that_a_killed_process_left_is_cleared_away(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = (*(f"foreshore-work-{n}" for n in "abcd"), "foreshore-x")
    left, unlocked, held, fresh, other = (tmp_path / name for name in names)
    for folder in (left, unlocked, held, fresh, other):
        folder.mkdir()
        if folder != unlocked:  # killed before it took its lock
            (folder / "_lock").touch()
        if folder != fresh:
            os.utime(folder, (0, 0))
    with (held / "_lock").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        land(lake, "test", {"left": rows("a")})
    assert sorted(tmp_path.glob("foreshore-*")) == sorted([held, fresh, other])


def test_only_one_extraction_at_a_time(lake: Lake) -> None:
    other = Lake(lake.path)
    with lake.lock(), pytest.raises(Busy, match=f"process {os.getpid()}"), other.lock():
        pytest.fail("the second lock was granted")
    with other.lock():
        assert True  # free again


def test_a_damaged_ledger_file_is_named_with_its_cure(lake: Lake) -> None:
    load_id = land(lake, "test", {"left": rows("a")})
    path = next(Path(lake.path, "left").glob(f"{load_id}.*"))
    path.write_bytes(b"not parquet")
    with pytest.raises(StorageError, match=r"edited or damaged.*foreshore repair"):
        lake.read_committed("left", SCHEMA)


def test_a_full_disk_leaves_nothing_visible(lake: Lake) -> None:
    """The kernel refuses to write beyond a file size limit: as on a full disk, a write fails half way."""
    child = textwrap.dedent(
        f"""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from tests.unit.test_land import SCHEMA, rows
        from extract.errors import StorageError
        from extract.lake import Lake
        from extract.land import land
        lake = Lake({lake.path!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        import os, pyarrow as pa
        names = [os.urandom(40).hex() for _ in range(20_000)]
        noise = pa.table({{"partition_id": names, "n": [0] * 20_000, "amount": [1] * 20_000}}, schema=SCHEMA)
        try:
            land(lake, "test", {{"left": noise, "right": rows("b")}})
        except StorageError as error:
            print(error)
            sys.exit(7)
        """
    )
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot write" in done.stdout and "nothing of this load is visible" in done.stdout
    assert lake.committed_loads() == []
    assert lake.read_committed("right", SCHEMA).num_rows == 0
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200_000


@pytest.mark.slow
def test_killed_at_random_moments_it_never_shows_half_a_package(tmp_path: Path) -> None:
    """Twelve kills spread over the landing of packages: readers always see whole packages, and a rerun goes on.

    Moments are counted in landings, as measured at the start, so that a busy machine is killed as deep into them.
    """
    lake = Lake(str(tmp_path / "raw"))
    lake.declare({"left": SCHEMA, "right": SCHEMA})
    child = textwrap.dedent(
        f"""
        from tests.unit.test_land import rows
        from extract.lake import Lake
        from extract.land import land
        lake = Lake({lake.path!r})
        print("ready", flush=True)
        with lake.lock():
            lake.sweep()
            for n in range(1000):
                land(lake, "test", {{"left": rows(str(n), 5), "right": rows(str(n), 5)}})
                print("landed", flush=True)
        """
    )
    chance, landing = random.Random(3), 0.0
    for kill in range(12):
        process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, cwd=Path.cwd())
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        if kill == 0:
            assert [process.stdout.readline() for _ in range(2)] == [b"landed\n"] * 2
            started = time.monotonic()
            assert [process.stdout.readline() for _ in range(2)] == [b"landed\n"] * 2
            landing = (time.monotonic() - started) / 2
        time.sleep(landing * chance.uniform(0.1, 3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        seen = lake.committed_loads()
        for table in ("left", "right"):
            counts = lake.read_committed(table, SCHEMA).group_by("load_id").aggregate([("n", "count")]).to_pylist()
            assert {row["load_id"]: row["n_count"] for row in counts} == dict.fromkeys(seen, 5)
        # a reader that globs never meets an unreadable file
        duckdb.sql(f"select count(*) from '{lake.path}/*/*.parquet'").fetchall()
    assert len(seen) > 3
    with lake.lock():
        lake.sweep()
    landed = {load_id_of(str(p)) for p in Path(lake.path, "left").glob("*.parquet")} - {"0"}
    assert landed == set(seen)


def test_a_column_that_came_later_is_null_in_older_files(lake: Lake) -> None:
    land(lake, "test", {"left": rows("a")})
    wider = SCHEMA.append(pa.field("confirmation", pa.string()))
    assert [r["confirmation"] for r in lake.read_committed("left", wider).to_pylist()] == [None] * 3
    with pytest.raises(StorageError, match="cannot be read as Foreshore landed it"):
        lake.read_committed("left", SCHEMA.append(pa.field("needed", pa.string(), nullable=False)))


def test_a_landing_by_itself_sweeps_what_a_killed_one_left(lake: Lake) -> None:
    """`submitted` was killed half way: the next one clears its files, not only the next extraction."""
    load_id = land_alone(lake, "test", {"left": SCHEMA}, {"left": rows("a")})
    orphan = Path(lake.path) / "left" / "1700000000.5.abcdef.parquet"
    orphan.write_bytes(next(Path(lake.path, "left").glob(f"{load_id}.*")).read_bytes())
    land_alone(lake, "test", {"left": SCHEMA}, {"left": rows("b")})
    assert not orphan.exists() and lake.read_committed("left", SCHEMA).num_rows == 2 * rows("a").num_rows
