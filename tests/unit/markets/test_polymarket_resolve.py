"""Resolved, void or undetermined: every combination of the facts, and nothing in between."""

from __future__ import annotations

from typing import Any

import pytest

from extract.markets.resolve import classify
from tests.polymarket_fixtures import a_record, ended

CASES: list[tuple[dict[str, Any], str, str, int | None]] = [
    (ended(["1", "0"], "proposed", "resolved"), "resolved", "one_hot", 1),
    (ended(["0", "1"], "proposed", "disputed", "proposed", "resolved"), "resolved", "one_hot", 0),
    (ended(["1.0", "0.000"], "resolved"), "resolved", "one_hot", 1),
    (ended(["1", "0"], umaResolutionStatus="resolved"), "resolved", "one_hot", 1),
    (ended(["0.5", "0.5"], "resolved"), "void", "half_half", None),
    (ended(["0.50", "0.5"], "resolved"), "void", "half_half", None),
    (ended(["0", "0"], "resolved"), "undetermined", "zero_prices", None),
    (ended(["1", "1"], "resolved"), "undetermined", "fractional_prices", None),
    (
        ended(["0.9999999563569650195371329796277182", "0.00000004"], "resolved"),
        "undetermined",
        "fractional_prices",
        None,
    ),
    (ended(["0.999999999999999999999", "0"], "resolved"), "undetermined", "fractional_prices", None),
    (ended(["0.7", "0.3"], "resolved"), "undetermined", "fractional_prices", None),
    (ended(["1", "0"], "proposed"), "undetermined", "not_final", None),
    (ended(["1", "0"], "resolved", "disputed"), "undetermined", "not_final", None),
    (ended(["1", "0"], "settled"), "undetermined", "not_final", None),
    (ended(["1", "0"]), "undetermined", "no_uma_status", None),
    (ended(["1", "0"], "resolved", closed=False), "undetermined", "not_closed", None),
    (ended(["1", "0"], "resolved", closed=...), "undetermined", "not_closed", None),
    (ended(["1"], "resolved"), "undetermined", "no_prices", None),
    (ended(["1", "0"], "resolved", outcomePrices=None), "undetermined", "no_prices", None),
    (ended(["one", "0"], "resolved"), "undetermined", "no_prices", None),
    (ended(["NaN", "0"], "resolved"), "undetermined", "no_prices", None),
    (ended(["1", "0"], "resolved", outcomes='["A", "B", "C"]'), "undetermined", "not_binary", None),
    (ended(["1", "0"], "resolved", closed="yes"), "undetermined", "bad_flag", None),
    (ended(["1", "0"], "resolved", closedTime="yesterday"), "undetermined", "bad_time", None),
    (a_record(outcomePrices='["1", "0"]'), "undetermined", "not_closed", None),
]


@pytest.mark.parametrize(("record", "status", "reason", "label"), CASES)
def test_how_it_ended(record: dict[str, Any], status: str, reason: str, label: int | None) -> None:
    row = classify(record)
    assert (row["status"], row["reason"], row["label"]) == (status, reason, label)
    assert (row["winning_outcome"] is None) is (label is None)
    assert (row["resolved_at"] is None) is (status == "undetermined")


def test_a_disagreeing_single_status_does_not_overrule_the_history() -> None:
    assert classify(ended(["1", "0"], "proposed", umaResolutionStatus="resolved"))["status"] == "undetermined"


def test_the_end_is_closed_time_and_else_the_oracles() -> None:
    oracle = {"umaEndDate": "2026-01-12T16:00:00Z"}
    assert classify(ended(["1", "0"], "resolved", **oracle))["resolved_at"].hour == 15
    assert classify(ended(["1", "0"], "resolved", closedTime=..., **oracle))["resolved_at"].hour == 16


@pytest.mark.parametrize("record", [None, 5, "x", [], {}])
def test_nonsense_is_undetermined(record: Any) -> None:
    assert classify(record)["status"] == "undetermined"
