"""The ledger: the newest complete attempt counts, failures are counted and retried."""

from __future__ import annotations

from pathlib import Path

from extract.lake import Lake
from extract.land import land
from extract.ledger import (
    LEDGER_SCHEMA,
    LEDGER_TABLE,
    Ledger,
    LedgerRow,
    Partition,
    failed,
    fingerprint,
    ledger_table,
    now,
)

PARTITION = Partition("voting", "state", "hydrex/1771459200", "T-1")


def row(status: str = "complete", attempts: int = 1, wanted: str = "f1") -> LedgerRow:
    return LedgerRow(PARTITION, status, wanted, "run", now(), now(), attempts=attempts, rows=5)


def committed(tmp_path: Path, *rows: LedgerRow) -> Ledger:
    lake = Lake(str(tmp_path / "raw"))
    lake.declare({LEDGER_TABLE: LEDGER_SCHEMA})
    for one in rows:
        land(lake, "voting", {LEDGER_TABLE: ledger_table([one])})
    return Ledger.read(lake)


def test_partition_names_are_stable() -> None:
    assert PARTITION.partition_id == "voting/state/hydrex/1771459200/T-1"


def test_complete_only_under_the_same_fingerprint(tmp_path: Path) -> None:
    ledger = committed(tmp_path, row())
    assert ledger.complete_row(PARTITION, "f1") is not None
    assert ledger.complete_row(PARTITION, "f2") is None


def test_a_later_failure_does_not_take_back_what_is_complete(tmp_path: Path) -> None:
    broken = failed(row(attempts=1), TimeoutError(), "the provider did not answer")
    ledger = committed(tmp_path, row(), broken)
    state = ledger.state(PARTITION)
    assert state is not None and state.is_failing and state.complete is not None
    assert ledger.complete_row(PARTITION, "f1") is not None
    assert ledger.next_attempt(PARTITION) == 2


def test_attempts_count_up_until_complete(tmp_path: Path) -> None:
    first = failed(row(attempts=1), OSError(), "x")
    second = failed(row(attempts=2), OSError(), "x")
    assert committed(tmp_path / "a", first, second).next_attempt(PARTITION) == 3
    assert committed(tmp_path / "b", first, row(attempts=2)).next_attempt(PARTITION) == 1


def test_fingerprint_depends_on_every_fact() -> None:
    base = {"version": 1, "protocol": {"voter": "0xa"}}
    assert fingerprint(base) == fingerprint(dict(reversed(base.items())))
    assert fingerprint(base) != fingerprint(base | {"version": 2})
