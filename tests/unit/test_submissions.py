"""Submissions as people write them: good ones land once, bad ones are named and land nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extract.errors import RequestError
from extract.land import Lake
from extract.ledger import Ledger
from extract.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE, parse_submission, record_submission

GAUGE = "0x" + "Ab" * 20
GOOD: dict[str, Any] = {
    "protocol": "hydrex",
    "voter_id": "0xABC",
    "epoch": 1_771_459_200,
    "submitted_at": "2026-02-25T23:56:10+01:00",
    "allocation": {GAUGE: 50_000.5},
}


def test_a_good_one_is_exact_lower_case_and_utc() -> None:
    found = parse_submission(GOOD, 18)
    assert found.votes_raw == {GAUGE.lower(): 50_000_500_000_000_000_000_000}
    assert found.voter_id == "0xabc" and found.submitted_at == datetime(2026, 2, 25, 22, 56, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"protocol": None, "voter_id": None}, "lacks protocol, voter_id"),
        ({"epoch": 1_771_372_800}, "1771372800 is not an epoch"),
        ({"epoch": True}, "not an epoch"),
        ({"epoch": "1771459200"}, "not an epoch"),
        ({"submitted_at": "2026-02-25T23:56:10"}, "with its zone"),
        ({"submitted_at": "yesterday"}, "with its zone"),
        ({"allocation": {}}, "allocation must be"),
        ({"allocation": [1]}, "allocation must be"),
        ({"allocation": {"0x12": 5}}, "not a 20-byte hex address"),
        ({"allocation": {GAUGE: -1}}, "0 or more"),
        ({"allocation": {GAUGE: float("nan")}}, "0 or more"),
        ({"allocation": {GAUGE: True}}, "0 or more"),
        ({"allocation": {GAUGE: "many"}}, "0 or more"),
        ({"allocation": {GAUGE: 1, GAUGE.lower(): 2}}, "twice"),
    ],
)
def test_a_bad_one_is_named(change: dict[str, Any], wanted: str) -> None:
    document = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(RequestError, match=wanted):
        parse_submission(document, 18)


@pytest.mark.parametrize("document", [None, 3, "text", [GOOD]])
def test_what_is_no_object_is_named(document: Any) -> None:
    with pytest.raises(RequestError, match="JSON object"):
        parse_submission(document, 18)


def test_recording_again_replaces_and_the_ledger_knows(tmp_path: Path) -> None:
    lake, first = Lake(str(tmp_path / "raw")), parse_submission(GOOD, 18)
    corrected = parse_submission(GOOD | {"allocation": {GAUGE: 60_000}}, 18)
    assert [record_submission(lake, s, "run") for s in (first, corrected)] == [1, 1]
    rows = lake.read_committed(SUBMITTED_TABLE, SUBMITTED_SCHEMA).to_pylist()
    assert {row["partition_id"] for row in rows} == {first.partition.partition_id}
    assert [row["votes_raw"] for row in rows] == ["50000500000000000000000", "60000000000000000000000"]
    assert Ledger.read(lake).state(first.partition).complete["rows"] == 1  # type: ignore[union-attr,index]
