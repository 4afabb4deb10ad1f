"""A lake that heals: every way a raw file may be damaged is found, named with its partitions, and put aside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from extract import integrity
from extract.integrity import audit, prepare, put_aside
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, Ledger, LedgerRow, Partition, ledger_table, now

SCHEMA = pa.schema([("partition_id", pa.string()), ("value", pa.int64())])


def partition(key: str) -> Partition:
    return Partition("voting", "state", key, "T-1")


def landed(lake: Lake, *keys: str, value: int = 1) -> str:
    """One load package that holds a row of each partition."""
    rows = [LedgerRow(partition(key), COMPLETE, "f", "r", now(), now(), rows=1) for key in keys]
    names = [row.partition.partition_id for row in rows]
    table = pa.table({"partition_id": names, "value": [value] * len(names)}, schema=SCHEMA)
    return land(lake, "test", {"things": table, LEDGER_TABLE: ledger_table(rows)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(str(tmp_path / "raw"))
    with made.lock():
        prepare(made, {"things": SCHEMA})
    return made


def file(lake: Lake, table: str, load: str) -> Path:
    (found,) = (path for path in (Path(lake.path) / table).iterdir() if path.name.startswith(load))
    return found


def edit(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def rewrite(path: Path) -> None:
    """A valid parquet with other rows, as a person's tool would leave it."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    pq.write_table(table.slice(0, 0), path)


DAMAGES: list[Callable[[Path], None]] = [edit, truncate, rewrite, Path.unlink, lambda path: path.write_bytes(b"")]


@pytest.mark.parametrize("table", ["things", LEDGER_TABLE, "extract_files"])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("was_verified", [True, False])
def test_any_damage_to_any_file_is_named_with_its_partitions_and_heals(
    lake: Lake, table: str, damage: Callable[[Path], None], was_verified: bool
) -> None:
    landed(lake, "x/1")
    bad = landed(lake, "x/2", "x/3")
    landed(lake, "x/4")
    if was_verified:
        assert audit(lake) == []
    damage(file(lake, table, bad))
    (found,) = audit(lake)
    assert found.load_id == bad and bad in found.spoken()
    assert found.partitions == ("voting/state/x/2/T-1", "voting/state/x/3/T-1")
    with lake.lock():
        put_aside(lake, [found])
        lake.sweep()
    assert audit(lake) == []
    states = Ledger.read(lake).states
    assert {name for name, s in states.items() if s.complete} == {"voting/state/x/1/T-1", "voting/state/x/4/T-1"}
    assert {name for name, s in states.items() if s.was_damaged} == set(found.partitions)
    landed(lake, "x/2", "x/3", value=2)
    states = Ledger.read(lake).states
    assert len(states) == 4 and all(s.complete and not s.was_damaged for s in states.values())


def test_an_older_version_never_stands_in_for_a_damaged_one(lake: Lake) -> None:
    landed(lake, "x/1", value=1)
    newest = landed(lake, "x/1", value=2)
    edit(file(lake, "things", newest))
    with lake.lock():
        prepare(lake, {"things": SCHEMA})
    state = Ledger.read(lake).states["voting/state/x/1/T-1"]
    assert state.complete is None and state.was_damaged


def test_what_a_newer_load_holds_is_not_asked_for(lake: Lake) -> None:
    old = landed(lake, "x/1", value=1)
    landed(lake, "x/1", value=2)
    Path.unlink(file(lake, "things", old))
    (found,) = audit(lake)
    assert found.partitions == () and "superseded" in found.spoken()
    with lake.lock():
        prepare(lake, {"things": SCHEMA})
    assert audit(lake) == [] and Ledger.read(lake).states["voting/state/x/1/T-1"].complete is not None


def test_a_lost_commit_record_is_named(lake: Lake) -> None:
    load = landed(lake, "x/1")
    assert audit(lake) == []
    (record,) = (path for path in (Path(lake.path) / "_dlt_loads").iterdir() if load in path.name)
    for broken in (b"not json\n", b"[]\n", b""):
        record.write_bytes(broken)
        (found,) = audit(lake)
        assert "commit record" in found.spoken() and found.partitions == ("voting/state/x/1/T-1",)
    record.unlink()
    with lake.lock():
        (found,) = prepare(lake, {"things": SCHEMA})
    assert found.partitions == ("voting/state/x/1/T-1",) and audit(lake) == []


def test_a_file_nobody_landed_is_named(lake: Lake) -> None:
    load = landed(lake, "x/1")
    there = file(lake, "things", load)
    (Path(lake.path) / "others").mkdir()
    (Path(lake.path) / "others" / there.name).write_bytes(there.read_bytes())
    (found,) = audit(lake)
    assert "was not landed" in found.spoken()


def test_unchanged_files_are_not_read_again_and_changed_or_asked_ones_are(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = [landed(lake, f"x/{n}") for n in range(3)]
    read: list[str] = []
    real = integrity._sha256
    monkeypatch.setattr(integrity, "_sha256", lambda lake, name: read.append(name) or real(lake, name))
    assert audit(lake) == [] and len(read) == 9
    read.clear()
    assert audit(lake) == [] and read == []
    os.utime(file(lake, "things", loads[1]), (1, 1))
    assert audit(lake) == [] and {Path(name).name.rsplit(".", 2)[0] for name in read} == {loads[1]}
    read.clear()
    quiet = file(lake, "things", loads[2])
    before = quiet.stat()
    edit(quiet)
    os.utime(quiet, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert audit(lake) == [], "same size and time: only a request reads it"
    assert [damage.load_id for damage in audit(lake, everything=True)] == [loads[2]]
    (Path(lake.path) / integrity.VERIFIED_FILE).write_text("{broken")
    assert [damage.load_id for damage in audit(lake)] == [loads[2]], "a damaged memory is none"


@pytest.mark.parametrize("steps", range(8))
def test_putting_aside_killed_anywhere_goes_on_the_next_time(
    lake: Lake, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed(lake, "x/1")
    bad = landed(lake, "x/2")
    edit(file(lake, "things", bad))

    class Killed(BaseException):
        pass

    left = [steps]

    def dying(name: str) -> None:
        real = getattr(lake.fs, name)

        def step(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **options)

        monkeypatch.setattr(lake.fs, name, step)

    damages = audit(lake)
    for name in ("mv", "rm_file", "pipe_file"):
        dying(name)
    try:
        with lake.lock():
            put_aside(lake, damages)
    except Killed:
        pass
    monkeypatch.undo()
    with lake.lock():
        prepare(lake, {"things": SCHEMA})
    states = Ledger.read(lake).states
    assert audit(lake) == [] and states["voting/state/x/1/T-1"].complete
    assert states["voting/state/x/2/T-1"].complete is None and states["voting/state/x/2/T-1"].was_damaged
