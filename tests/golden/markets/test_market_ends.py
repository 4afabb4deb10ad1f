"""Ends as the sources write them, each with its snapshot and the right answer: the same through the reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extract.markets.normalize import normalize_market
from extract.markets.resolve import Asked, classify

pytestmark = pytest.mark.golden
OPEN = {"outcomePrices": '["0.5", "0.5"]', "active": True, "closed": False}


def test_every_end_on_record_is_told_right(golden: Path) -> None:
    cases = json.loads((golden / "cases" / "market_ends.json").read_text())
    assert len(cases) >= 11
    for case in cases:
        snapshot = normalize_market(case["snapshot"] | OPEN)
        told = {name: snapshot[name] for name in ("market_id", "condition_id")}
        asked = Asked(**told, outcomes=tuple(snapshot["outcomes"]), token_ids=tuple(snapshot["token_ids"]))
        row, right = classify(case["end"], asked), case["right"]
        assert (row["status"], row["label"]) == (right["status"], right["label"]), case["case"]
        if "resolved_at" in right:
            assert f"{row['resolved_at']:%Y-%m-%dT%H:%M:%SZ}" == right["resolved_at"]
