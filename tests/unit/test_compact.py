"""Compaction: fewer files, and every reader finds what it found before, wherever the process was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.compact import compact, plan
from extract.errors import StorageError
from extract.integrity import audit, prepare
from extract.lake import Lake
from extract.land import land
from extract.ledger import (
    COMPLETE,
    FAILED,
    LEDGER_SCHEMA,
    LEDGER_TABLE,
    Ledger,
    LedgerRow,
    Partition,
    ledger_table,
    now,
)

OLD = pa.schema([("partition_id", pa.string()), ("value", pa.int64())])
SCHEMA = pa.schema([*OLD, pa.field("since", pa.string())])  # a column that came later


class Killed(BaseException):
    """As good as SIGKILL: nothing after it runs."""


def put(lake: Lake, key: str, value: int, status: str = COMPLETE, schema: pa.Schema = SCHEMA) -> str:
    row = LedgerRow(Partition("voting", "state", key, "T-1"), status, "f", "r", now(), now(), rows=1)
    told = {"partition_id": [row.partition.partition_id], "value": [value], "since": ["now"]}
    rows = pa.table({name: told[name] for name in schema.names}, schema=schema)
    return land(lake, "voting", {"things": rows, LEDGER_TABLE: ledger_table([row])})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten loads: old columns and new, a failure before its success, two partitions fetched twice."""
    folder = tmp_path_factory.mktemp("made") / "raw"
    lake = Lake(str(folder))
    with lake.lock():
        prepare(lake, {"things": SCHEMA})
        for n in range(3):
            put(lake, f"k{n}", n, schema=OLD)
        put(lake, "k3", -1, status=FAILED)
        for n in range(3, 6):
            put(lake, f"k{n}", n)
        put(lake, "k1", 101)
        put(lake, "k9", 9)
        put(lake, "k2", 102)
    return folder


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    shutil.copytree(made, tmp_path / "raw")
    return Lake(str(tmp_path / "raw"))


def seen(lake: Lake) -> dict[str, Any]:
    """What a partition's readers see: its newest complete rows, its ledger, and when that was committed."""
    commits = {record["load_id"]: record["inserted_at"] for record in lake.commit_records()}
    ledger = lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA).to_pylist()
    when = [row["committed_at"] or datetime.fromisoformat(commits[row["load_id"]]) for row in ledger]
    order = [(row["partition_id"], row["status"], at) for row, at in zip(ledger, when, strict=True)]
    newest = {name: state.complete for name, state in Ledger(ledger).states.items() if state.complete}
    rows = lake.read_committed("things", SCHEMA).to_pylist()
    current = {
        row["partition_id"]: (row["value"], row["since"])
        for row in rows
        if row["partition_id"] in newest and newest[row["partition_id"]]["load_id"] == row["load_id"]
    }
    assert len(current) == len([r for r in rows if newest.get(r["partition_id"], {}).get("load_id") == r["load_id"]])
    return {"ledger": order, "current": current, "all": sorted(str(row["value"]) for row in rows)}


def files(lake: Lake) -> int:
    return len([path for path in Path(lake.path).glob("*/*") if not path.name.startswith("0.")])


def run(lake: Lake) -> int:
    with lake.lock():
        return len(compact(lake, plan(lake, least_loads=2)))


def test_readers_find_what_they_found(lake: Lake) -> None:
    before, count = seen(lake), files(lake)
    current = before["current"]
    assert current["voting/state/k1/T-1"] == (101, "now") and current["voting/state/k0/T-1"] == (0, None)
    assert run(lake) == 2, "a run ends where a partition comes again: rows of k3's failure stand before its success"
    assert seen(lake) == before and audit(lake) == []
    assert files(lake) < count / 2
    assert run(lake) == 0 and seen(lake) == before, "what is compacted stays as it is"
    put(lake, "k7", 7), put(lake, "k8", 8)
    before = seen(lake)
    assert run(lake) == 1, "a compacted load is merged with what came after it"
    assert seen(lake) == before and audit(lake) == []
    carried = [line for record in lake.commit_records() for line in record.get("carried", ())]
    assert len(carried) == 12 and all(len(line["files_sha256"]) == 64 for line in carried)


@pytest.mark.long
def test_killed_at_every_write_nothing_is_lost_or_doubled(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(Lake(str(made)))
    shutil.copytree(made, tmp_path / "whole" / "raw")
    whole = Lake(str(tmp_path / "whole" / "raw"))
    run(whole)
    moments = 0
    for moment in range(200):
        folder = tmp_path / str(moment) / "raw"
        shutil.copytree(made, folder)
        lake = Lake(str(folder))
        with monkeypatch.context() as patched:
            left = [moment]
            for name in ("put_file", "pipe_file", "rm_file"):
                patched.setattr(type(lake.fs), name, _dying(getattr(type(lake.fs), name), left))
            try:
                run(lake)
            except Killed:
                moments += 1
            else:
                break
        assert seen(Lake(str(folder))) == before and audit(Lake(str(folder))) == [], f"killed at write {moment}"
        run(lake)
        assert seen(Lake(str(folder))) == before and audit(Lake(str(folder))) == []
        assert files(lake) == files(whole), f"loose ends after a kill at write {moment}"
        shutil.rmtree(folder)
    assert moments > 40


def _dying(method: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """Dies instead of a write, with all before it done."""

    def dying(self: Any, *arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return method(self, *arguments, **named)

    return dying


def test_a_damaged_store_is_mended_first(lake: Lake) -> None:
    path = next(Path(lake.path, "things").glob("1*.parquet"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StorageError, match="foreshore repair"):
        plan(lake)


def test_a_damaged_compacted_load_names_all_its_partitions(lake: Lake) -> None:
    run(lake)
    path = next(Path(lake.path, "things").glob("*.compact.parquet"))
    path.write_bytes(path.read_bytes()[:-5])
    (damage,) = audit(lake)
    assert len(damage.partitions) >= 1 and "edited or damaged" in damage.reasons[0]


def test_one_load_never_grows_past_its_limit(lake: Lake) -> None:
    assert plan(lake, least_loads=2, most_bytes=1) == []
