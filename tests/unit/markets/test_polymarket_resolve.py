"""Resolved, void or undetermined: every combination of the facts, and nothing in between."""

from __future__ import annotations

from typing import Any

import pytest

from extract.markets.resolve import Asked, classify, wants_the_clob, with_the_clob
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
    (ended(["1", "0"], "resolved", umaEndDate="soon"), "resolved", "one_hot", 1),
    (ended(["1", "0"], "resolved", endDate="2026-01-12", volume=-0.01), "resolved", "one_hot", 1),
    (ended(["0", "1"], "proposed", umaResolutionStatus="resolved"), "resolved", "one_hot", 0),
    (ended(["1", "0"], "proposed", automaticallyResolved=True), "resolved", "one_hot", 1),
    (ended(["1", "0"], automaticallyResolved=True), "resolved", "one_hot", 1),
    (ended(["0.5", "0.5"], "proposed", automaticallyResolved=True), "void", "half_half", None),
    (ended(["1", "0"], "proposed", automaticallyResolved=False), "undetermined", "not_final", None),
    (ended(["1", "0"], "proposed", "resolved", umaResolutionStatus="disputed"), "undetermined", "not_final", None),
    (
        ended(["1", "0"], umaResolutionStatus="disputed", automaticallyResolved=True),
        "undetermined",
        "statements_disagree",
        None,
    ),
    (ended(["1", "0"], resolutionStatus="resolved"), "resolved", "one_hot", 1),
    (ended(["0", "1"], "proposed", resolutionStatus="resolved"), "resolved", "one_hot", 0),
    (ended(["0.5", "0.5"], resolutionStatus="resolved", umaResolutionStatus=""), "void", "half_half", None),
    (ended(["1", "0"], resolutionStatus="active"), "undetermined", "not_final", None),
    (ended(["1", "0"], "resolved", resolutionStatus="inactive"), "undetermined", "not_final", None),
    (ended(["1", "0"], resolutionStatus="resolved", closed=False), "undetermined", "not_closed", None),
    (ended(["1", "0"], resolutionStatus=7, umaResolutionStatus="resolved"), "resolved", "one_hot", 1),
    (ended(["1", "0"], "resolved", resolutionStatus=""), "resolved", "one_hot", 1),
    (
        ended(["1", "0"], resolutionStatus="active", umaResolutionStatus="resolved"),
        "undetermined",
        "statements_disagree",
        None,
    ),
    (
        ended(["1", "0"], resolutionStatus="resolved", umaResolutionStatus="disputed"),
        "undetermined",
        "statements_disagree",
        None,
    ),
    (a_record(outcomePrices='["1", "0"]'), "undetermined", "not_closed", None),
]


@pytest.mark.parametrize(("record", "status", "reason", "label"), CASES)
def test_how_it_ended(record: dict[str, Any], status: str, reason: str, label: int | None) -> None:
    row = classify(record)
    assert (row["status"], row["reason"], row["label"]) == (status, reason, label)
    assert (row["winning_outcome"] is None) is (label is None)
    assert (row["resolved_at"] is None) is (status == "undetermined")


def test_a_time_that_cannot_be_read_is_a_note_and_no_end() -> None:
    row = classify(ended(["1", "0"], "resolved", closedTime="yesterday"))
    assert (row["status"], row["label"], row["resolved_at"]) == ("resolved", 1, None)
    assert "closedTime" in row["notes"][0]


# whom an answer is about

HERE = Asked("507285", "0x" + "ab" * 32, ("Yes", "No"), ("111", "222"))
ABOUT: list[tuple[dict[str, Any], str, str, int | None]] = [
    ({}, "resolved", "one_hot", 1),
    ({"outcomes": '["No", "Yes"]', "clobTokenIds": '["222", "111"]'}, "resolved", "one_hot", 0),
    ({"outcomes": '["yes", " No"]'}, "resolved", "one_hot", 1),
    ({"outcomes": '["No", "Yes"]', "clobTokenIds": ...}, "resolved", "one_hot", 0),
    ({"clobTokenIds": ..., "positionIds": '["111", "222"]'}, "resolved", "one_hot", 1),
    ({"clobTokenIds": '["7", "8"]', "positionIds": '["111", "222"]'}, "resolved", "one_hot", 1),
    ({"conditionId": ...}, "resolved", "one_hot", 1),
    ({"conditionId": "0x" + "AB" * 32}, "resolved", "one_hot", 1),
    ({"conditionId": "0x" + "cd" * 32}, "refused", "other_condition", None),
    ({"clobTokenIds": '["111", "333"]'}, "refused", "other_tokens", None),
    ({"outcomes": '["Up", "Down"]'}, "refused", "other_outcomes", None),
    ({"outcomes": '["No", "Yes"]'}, "refused", "outcomes_moved", None),
    ({"clobTokenIds": '["222", "111"]'}, "refused", "outcomes_moved", None),
    ({"clobTokenIds": ..., "conditionId": ...}, "refused", "unidentified", None),
    ({"closed": "yes"}, "refused", "bad_flag", None),
]


@pytest.mark.parametrize(("changes", "status", "reason", "label"), ABOUT)
def test_an_answer_is_about_the_market_of_its_snapshot(
    changes: dict[str, Any], status: str, reason: str, label: int | None
) -> None:
    row = classify(ended(["1", "0"], "resolved", **changes), HERE)
    assert (row["status"], row["reason"], row["label"]) == (status, reason, label), row["notes"]
    if label is not None:
        assert row["winning_token_id"] == HERE.token_ids[1 - label]
        assert row["winning_outcome"].strip().lower() == ("yes" if label else "no")
    assert bool(row["notes"]) is (status == "refused")


def clob(*winners: bool, closed: bool = True, condition: str = "0x" + "ab" * 32) -> dict[str, Any]:
    tokens = [{"token_id": t, "winner": w} for t, w in zip(HERE.token_ids, winners, strict=True)]
    return {"condition_id": condition, "closed": closed, "tokens": tokens}


@pytest.mark.parametrize(
    ("market", "status", "reason", "label"),
    [
        (clob(True, False), "resolved", "clob_winner", 1),
        (clob(False, True), "undetermined", "sources_disagree", None),
        (clob(False, False), "undetermined", "no_uma_status", None),
        (clob(True, True), "undetermined", "no_uma_status", None),
        (clob(True, False, closed=False), "undetermined", "no_uma_status", None),
        (clob(True, False, condition="0x" + "cd" * 32), "undetermined", "no_uma_status", None),
        ({"condition_id": "0x" + "ab" * 32, "closed": True, "tokens": "x"}, "undetermined", "no_uma_status", None),
        (None, "undetermined", "no_uma_status", None),
    ],
)
def test_where_gamma_says_nothing_the_clob_is_asked(market: Any, status: str, reason: str, label: int | None) -> None:
    row = classify(ended(["1", "0"]), HERE)
    assert wants_the_clob(row)
    told = with_the_clob(row, market, HERE)
    assert (told["status"], told["reason"], told["label"]) == (status, reason, label)
    turned = ended(["0", "1"], outcomes='["No", "Yes"]', clobTokenIds='["222", "111"]')
    again = with_the_clob(classify(turned, HERE), market, HERE)
    assert (again["status"], again["label"]) == (status, label)
    assert again["winning_outcome"] == ("Yes" if label else None)


def test_only_what_is_as_good_as_final_is_worth_a_second_question() -> None:
    for record in (ended(["0.99", "0.01"]), ended(["1", "0"], "proposed"), ended(["1", "0"], closed=False)):
        assert not wants_the_clob(classify(record, HERE))


def test_the_end_is_closed_time_and_else_the_oracles() -> None:
    oracle = {"umaEndDate": "2026-01-12T16:00:00Z"}
    assert classify(ended(["1", "0"], "resolved", **oracle))["resolved_at"].hour == 15
    assert classify(ended(["1", "0"], "resolved", closedTime=..., **oracle))["resolved_at"].hour == 16


@pytest.mark.parametrize("record", [None, 5, "x", [], {}])
def test_nonsense_is_undetermined(record: Any) -> None:
    assert classify(record)["status"] == "undetermined"
