"""What a voter says to have voted: every wrong field is named; recorded again, the newest counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extract.errors import RequestError
from extract.lake import Lake
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE, Ledger
from extract.voting.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE, parse_submission, record_submission

A, B = f"0x{'ab' * 20}", f"0x{'cd' * 20}"
GOOD = {
    "protocol": "hydrex",
    "voter_id": "0xDAC17F958D2EE523A2206206994597C13D831EC7",
    "epoch": 1_771_459_200,
    "submitted_at": "2026-02-25T23:54:10Z",
    "allocation": {A.upper().replace("0X", "0x"): 50_000, B: "1774908.123456789012345678"},
    "transaction_hash": f"0x{'12' * 32}",
}


def test_a_good_submission_is_read_exactly() -> None:
    found = parse_submission(json.loads(json.dumps(GOOD)), 18)
    assert found.votes_raw == {A: 50_000 * 10**18, B: 1774908123456789012345678}
    assert found.voter_id == GOOD["voter_id"].lower() and found.transaction_hash == GOOD["transaction_hash"]
    assert found.submitted_at == datetime(2026, 2, 25, 23, 54, 10, tzinfo=UTC)
    assert found.partition.partition_id == (
        f"decisions/submitted/hydrex/{GOOD['voter_id'].lower()}/1771459200/2026-02-25T23:54:10Z"
    )


def test_a_saved_recommendation_is_a_submission_with_more_fields() -> None:
    saved = {**GOOD, "reason": "x", "votes": []}
    del saved["transaction_hash"]
    assert parse_submission(saved, 18).transaction_hash is None


@pytest.mark.parametrize(
    ("text", "utc"),
    [("2026-02-26T01:54:10+02:00", 23), ("2026-02-25 23:54:10+00:00", 23), ("2026-02-25T15:54:10-07:00", 22)],
)
def test_times_are_put_into_utc(text: str, utc: int) -> None:
    moment = parse_submission({**GOOD, "submitted_at": text}, 18).submitted_at
    assert moment.hour == utc and moment.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("votes", "raw"),
    [
        (0, 0),
        (1, 10**18),
        (0.5, 5 * 10**17),
        (1e-18, 1),
        ("7", 7 * 10**18),
        (1e6, 10**24),
        ("12345678901234567890123456789012345.000000000000000001", 12345678901234567890123456789012345 * 10**18 + 1),
    ],
)
def test_any_number_of_votes_counts(votes: Any, raw: int) -> None:
    found = parse_submission({**GOOD, "allocation": {A: votes}}, 18)
    assert found.votes_raw[A] == raw


@pytest.mark.parametrize("field", ["protocol", "voter_id", "epoch", "submitted_at", "allocation"])
def test_what_is_missing_is_named(field: str) -> None:
    with pytest.raises(RequestError, match=f"lacks {field}$"):
        parse_submission({k: v for k, v in GOOD.items() if k != field}, 18)
    with pytest.raises(RequestError, match="lacks protocol, voter_id, epoch, submitted_at, allocation"):
        parse_submission({}, 18)


@pytest.mark.parametrize("document", [None, [GOOD], "hydrex", 3])
def test_only_an_object_is_a_submission(document: Any) -> None:
    with pytest.raises(RequestError, match="is a JSON object with protocol"):
        parse_submission(document, 18)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epoch": 1_771_459_201}, "epoch = 1771459201 is not an epoch"),
        ({"epoch": "1771459200"}, "epoch = '1771459200'"),
        ({"epoch": 1_771_459_200.0}, "epoch = 1771459200.0"),
        ({"epoch": True}, "epoch = True"),
        ({"epoch": 0}, "epoch = 0 "),
        ({"epoch": -604_800}, "epoch = -604800"),
        ({"submitted_at": "2026-02-25T23:54:10"}, "with its zone"),
        ({"submitted_at": "yesterday"}, "submitted_at = 'yesterday'"),
        ({"submitted_at": 1_772_063_650}, "submitted_at = 1772063650"),
        ({"submitted_at": None}, "submitted_at = None"),
        ({"submitted_at": "0001-01-01T00:00:00+23:00"}, "submitted_at = '0001"),
        ({"submitted_at": "9999-12-31T23:59:59-23:00"}, "submitted_at = '9999"),
        ({"epoch": 604_800 * 10**12}, "is not an epoch"),
        ({"protocol": None}, "protocol = None"),
        ({"protocol": " "}, "protocol = ' '"),
        ({"voter_id": 7}, "voter_id = 7"),
        ({"voter_id": "a/b"}, "voter_id = 'a/b'"),
        ({"transaction_hash": "0x12"}, "transaction_hash = '0x12'"),
        ({"transaction_hash": 12}, "transaction_hash = 12"),
        ({"allocation": {A: "1e999999"}}, "2^256 at most"),
        ({"allocation": {A: "1e60"}}, "2^256 at most"),
        ({"allocation": {}}, "allocation must be an object"),
        ({"allocation": [A]}, "allocation must be an object"),
        ({"allocation": {A: float("nan")}}, f"{A} has nan votes"),
        ({"allocation": {A: float("inf")}}, f"{A} has inf votes"),
        ({"allocation": {A: "sNaN"}}, f"{A} has 'sNaN' votes"),
        ({"allocation": {A: -1}}, f"{A} has -1 votes"),
        ({"allocation": {A: True}}, f"{A} has True votes"),
        ({"allocation": {A: None}}, f"{A} has None votes"),
        ({"allocation": {A: "many"}}, f"{A} has 'many' votes"),
        ({"allocation": {A: 1, A.upper().replace("0X", "0x"): 2}}, f"names {A} twice"),
        ({"allocation": {A[:-1]: 1}}, "is not a 20-byte hex address"),
        ({"allocation": {f"0x{'zz' * 20}": 1}}, "is not a 20-byte hex address"),
        ({"allocation": {f"00{'ab' * 20}": 1}}, "is not a 20-byte hex address"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_submission({**GOOD, **changed}, 18)
    assert said in str(refused.value)


def newest(lake: Lake) -> dict[str, tuple[str, str]]:
    """Rows as readers take them: of each partition those of its newest complete load."""
    rows = lake.read_committed(SUBMITTED_TABLE, SUBMITTED_SCHEMA).to_pylist()
    done = lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA).to_pylist()
    last = {row["partition_id"]: row["load_id"] for row in done if row["status"] == "complete"}
    kept = [row for row in rows if last[row["partition_id"]] == row["load_id"]]
    return {row["gauge_address"]: (row["votes_raw"], row["partition_id"]) for row in kept}


def test_recorded_again_it_replaces_all_of_the_first(tmp_path: Path) -> None:
    """The second has other votes and one gauge less: a vote replaces the whole vector, nothing of the first is left."""
    lake = Lake(str(tmp_path / "raw"))
    first, second = parse_submission(GOOD, 18), parse_submission({**GOOD, "allocation": {B: 3}}, 18)
    assert first.partition == second.partition
    assert record_submission(lake, first, "one") == 2
    assert newest(lake)[A] == (str(50_000 * 10**18), first.partition.partition_id)
    assert record_submission(lake, second, "two") == 1
    assert newest(lake) == {B: (str(3 * 10**18), first.partition.partition_id)}
    ledger = Ledger.read(lake).state(first.partition)
    assert ledger is not None and ledger.complete is not None and ledger.complete["run_id"] == "two"
    assert ledger.complete["rows"] == 1
    assert lake.read_committed(SUBMITTED_TABLE, SUBMITTED_SCHEMA).num_rows == 3, "what was said first stays on record"


def test_submissions_of_other_times_and_voters_stand_beside_each_other(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "raw"))
    for changed in ({}, {"submitted_at": "2026-02-25T23:59:10Z"}, {"voter_id": "34"}, {"protocol": "lynex"}):
        record_submission(lake, parse_submission({**GOOD, **changed, "allocation": {A: 1}}, 18), "run")
    rows = lake.read_committed(SUBMITTED_TABLE, SUBMITTED_SCHEMA).to_pylist()
    assert len({row["partition_id"] for row in rows}) == len(rows) == 4
    assert {row["submitted_at"].minute for row in rows} == {54, 59}
    assert all(row["recorded_at"] > row["submitted_at"] for row in rows)
