"""One record at a time: what is typed how, and why a record is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from extract.errors import ConfigError
from extract.markets.choose import TargetDay, why_not
from extract.markets.config import Polymarket, load_polymarket
from extract.markets.fields import Malformed, moment
from extract.markets.normalize import normalize_market, normalize_records
from extract.markets.quotes import history_points, read_book
from tests.polymarket_fixtures import a_record

DAY = TargetDay(date(2026, 1, 5), 7)


def test_a_record_becomes_typed_columns() -> None:
    row = normalize_market(a_record(oneDayPriceChange="-0.02", lastTradePrice=0, feeSchedule={"rate": "0.03"}))
    assert (row["price"], row["outcome_prices"], row["token_ids"]) == (0.11, [0.11, 0.89], ["111", "222"])
    assert (row["best_bid"], row["best_ask"], row["midpoint"], row["book_status"]) == (0.1, 0.12, 0.11, "two_sided")
    assert (row["volume_usd"], row["liquidity_usd"], row["fee_rate"]) == (2341641.626583, 125686.6, 0.03)
    assert (row["price_change_1d"], row["price_change_1w"], row["last_trade_price"]) == (-0.02, None, None)
    assert (row["event_id"], row["uma_status"], row["neg_risk_market_id"]) == ("12585", None, None)
    assert row["end_at"] == datetime(2026, 1, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bid", "ask", "status", "midpoint"),
    [
        (0.4, 0.5, "two_sided", 0.45),
        (..., 0.5, "ask_only", None),
        (0.0, 0.5, "ask_only", None),
        (0.4, ..., "bid_only", None),
        (0.4, 1, "bid_only", None),
        (0, 1, "empty", None),
        (..., None, "empty", None),
        (0.5, 0.5, "crossed", None),
        (0.6, 0.5, "crossed", None),
    ],
)
def test_a_midpoint_takes_two_sides(bid: Any, ask: Any, status: str, midpoint: float | None) -> None:
    row = normalize_market(a_record(bestBid=bid, bestAsk=ask))
    assert (row["book_status"], row["midpoint"]) == (status, midpoint)


REFUSED = [
    ({"id": ...}, "missing_field", "id"),
    ({"id": True}, "bad_text", "id"),
    ({"conditionId": ""}, "missing_field", "conditionId"),
    ({"conditionId": "0xabc"}, "bad_id", "conditionId"),
    ({"question": None}, "missing_field", "question"),
    ({"outcomes": ...}, "missing_field", "outcomes"),
    ({"outcomes": '["Yes", "No"'}, "bad_json", "outcomes"),
    ({"outcomes": '{"Yes": 1}'}, "bad_json", "outcomes"),
    ({"outcomes": '["Yes", 2]'}, "bad_json", "outcomes"),
    ({"outcomes": '["A", "B", "C"]'}, "not_binary", "outcomes"),
    ({"outcomes": '["A"]'}, "not_binary", "outcomes"),
    ({"outcomes": '["A", "A"]'}, "not_binary", "outcomes"),
    ({"outcomePrices": None}, "missing_field", "outcomePrices"),
    ({"outcomePrices": '["0.4"]'}, "length_mismatch", "outcomePrices"),
    ({"outcomePrices": '["0.4", "x"]'}, "bad_number", "outcomePrices"),
    ({"outcomePrices": '["0.4", true]'}, "bad_number", "outcomePrices"),
    ({"outcomePrices": '["NaN", "0.5"]'}, "bad_number", "outcomePrices"),
    ({"outcomePrices": '["1.4", "-0.4"]'}, "out_of_range", "outcomePrices"),
    ({"outcomePrices": '["0", "0"]'}, "prices_do_not_add_up", "outcomePrices"),
    ({"clobTokenIds": None}, "missing_field", "clobTokenIds"),
    ({"clobTokenIds": '["1"]'}, "length_mismatch", "clobTokenIds"),
    ({"clobTokenIds": '["1", "1"]'}, "bad_id", "clobTokenIds"),
    ({"clobTokenIds": '["1", "two"]'}, "bad_id", "clobTokenIds"),
    ({"endDate": ...}, "missing_field", "endDate"),
    ({"endDate": "2026-01-12T12:00:00"}, "bad_time", "endDate"),
    ({"endDate": "2026-02-30T12:00:00Z"}, "bad_time", "endDate"),
    ({"endDate": 1768219200}, "bad_text", "endDate"),
    ({"active": "true"}, "bad_flag", "active"),
    ({"closed": ...}, "missing_field", "closed"),
    ({"id": "50\x007"}, "bad_text", "id"),
    ({"conditionId": "0x\ud800"}, "bad_text", "conditionId"),
    ({"question": 7}, "bad_text", "question"),
]


@pytest.mark.parametrize(("changes", "reason", "field"), REFUSED)
def test_a_bad_record_is_refused_with_its_reason(changes: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(Malformed) as refused:
        normalize_market(a_record(**changes))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert field in refused.value.detail or reason == "length_mismatch"


NOTED = [
    ({"endDate": "2026-01-12"}, "end_at", None, "endDate"),
    ({"startDate": "2026-01-12"}, "start_at", None, "startDate"),
    ({"bestBid": 1.2}, "book_status", "unreadable", "bestBid"),
    ({"bestAsk": "none"}, "midpoint", None, "bestAsk"),
    ({"liquidityNum": "n/a", "liquidity": ...}, "liquidity_usd", None, "liquidityNum"),
    ({"liquidityNum": "n/a", "liquidity": "7.5"}, "liquidity_usd", 7.5, "liquidityNum"),
    ({"volumeNum": ..., "volume": -0.01}, "volume_usd", None, "volume"),
    ({"volumeNum": ..., "volume": "1" * 200}, "volume_usd", None, "volume"),
    ({"events": {"id": 1}}, "event_id", None, "events"),
    ({"events": ["x"]}, "event_id", None, "events"),
    ({"feeSchedule": "0.03"}, "fee_rate", None, "feeSchedule"),
    ({"oneDayPriceChange": 3}, "price_change_1d", None, "oneDayPriceChange"),
    ({"archived": "no"}, "is_archived", None, "archived"),
    ({"slug": 5}, "slug", None, "slug"),
    ({"question": "Will\ud800 it\x00?"}, "question", "Will\ufffd it\ufffd?", "question"),
    ({"description": "a\x00b"}, "description", "a\ufffdb", "description"),
]


@pytest.mark.parametrize(("changes", "column", "value", "field"), NOTED)
def test_what_no_forecast_needs_is_null_with_a_note(
    changes: dict[str, Any], column: str, value: Any, field: str
) -> None:
    row = normalize_market(a_record(**changes))
    assert row[column] == value
    assert [note.split()[0] for note in row["notes"]] == [field]
    assert normalize_market(a_record())["notes"] == []


def test_a_date_without_a_time_still_has_its_day() -> None:
    row = normalize_market(a_record(endDate="2026-01-12"))
    assert row["end_date"] == date(2026, 1, 12) and why_not(row, DAY, Polymarket()) is None
    assert why_not(normalize_market(a_record(endDate="2026-01-13")), DAY, Polymarket()) is not None


def test_bad_records_leave_their_neighbours() -> None:
    rows, refusals = normalize_records([a_record(id="1"), "text", None, a_record(id="2", outcomes="x"), a_record(id=3)])
    assert [(position, row["market_id"]) for position, row in rows] == [(1, "1"), (5, "3")]
    assert [(position, why.reason) for position, _, why in refusals] == [
        (2, "not_an_object"),
        (3, "not_an_object"),
        (4, "bad_json"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-24 05:25:46+00", datetime(2026, 5, 24, 5, 25, 46, tzinfo=UTC)),
        ("2020-11-02 16:31:01.5+00", datetime(2020, 11, 2, 16, 31, 1, 500000, tzinfo=UTC)),
        ("2024-09-17T18:02:24.355068Z", datetime(2024, 9, 17, 18, 2, 24, 355068, tzinfo=UTC)),
        ("2024-09-17T18:02:24.123456789Z", datetime(2024, 9, 17, 18, 2, 24, 123456, tzinfo=UTC)),
        ("2024-09-17T20:02:24+02:00", datetime(2024, 9, 17, 18, 2, 24, tzinfo=UTC)),
        ("2024-09-17T12:32:24-0530", datetime(2024, 9, 17, 18, 2, 24, tzinfo=UTC)),
    ],
)
def test_every_way_the_source_writes_a_time(written: str, meant: datetime) -> None:
    assert moment({"t": written}, "t") == meant


def test_tokens_of_protocol_v2_are_position_ids() -> None:
    row = normalize_market(a_record(clobTokenIds="[]", positionIds='["5", "6"]'))
    assert row["token_ids"] == ["5", "6"]


def test_the_newest_statement_counts_and_a_history_where_there_is_no_other() -> None:
    row = normalize_market(a_record(umaResolutionStatuses='["proposed", "disputed"]', umaResolutionStatus="resolved"))
    assert row["uma_status"] == "resolved"
    assert normalize_market(a_record(umaResolutionStatuses='["proposed", "disputed"]'))["uma_status"] == "disputed"


def test_an_unnamed_outcome_of_an_open_group_is_a_placeholder() -> None:
    augmented = {"events": [{"id": "1", "negRiskAugmented": True}], "negRisk": True, "negRiskMarketID": "0xAB"}
    named = normalize_market(a_record(groupItemTitle="Nikola Jokic", **augmented))
    assert (named["is_neg_risk_placeholder"], named["neg_risk_market_id"]) == (False, "0xab")
    for unnamed in ("Person B", "Team AF", "Candidate Z", "Other", "Movie A"):
        assert normalize_market(a_record(groupItemTitle=unnamed, **augmented))["is_neg_risk_placeholder"], unnamed
    for real in ("Team GB", "Liverpool FC", "Sheffield U", "Plan B", "Team USA", "Ronaldo", "Mel B"):
        assert not normalize_market(a_record(groupItemTitle=real, **augmented))["is_neg_risk_placeholder"], real
    assert normalize_market(a_record(negRiskOther=True))["is_neg_risk_placeholder"]
    assert not normalize_market(a_record(groupItemTitle="Person B"))["is_neg_risk_placeholder"]


@pytest.mark.parametrize(
    ("end", "is_in"),
    [
        (DAY.start_at, True),
        (DAY.start_at - timedelta(microseconds=1), False),
        (DAY.end_at - timedelta(microseconds=1), True),
        (DAY.end_at, False),
    ],
)
def test_the_target_day_has_its_first_moment_and_not_the_next_midnight(end: datetime, is_in: bool) -> None:
    row = normalize_market(a_record(endDate=end.isoformat()))
    assert (why_not(row, DAY, Polymarket()) is None) is is_in


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"closed": True}, "closed"),
        ({"active": False}, "not_active"),
        ({"archived": True}, "archived"),
        ({"negRiskOther": True}, "neg_risk_placeholder"),
        ({"slug": "btc-updown-5m-1768219200"}, "recurring_series"),
        ({"events": [{"id": "1", "seriesSlug": "btc-up-or-down-5m"}]}, "recurring_series"),
        ({"liquidityNum": 999}, "below_min_liquidity"),
        ({"liquidityNum": ...}, "liquidity_unknown"),
        ({}, None),
    ],
)
def test_filters_name_their_reason(changes: dict[str, Any], reason: str | None) -> None:
    row = normalize_market(a_record(**changes))
    left_out = why_not(row, DAY, Polymarket(min_liquidity_usd=1_000))
    assert (left_out and left_out[0]) == reason
    lax = Polymarket(skip_recurring=False, skip_neg_risk_placeholders=False)
    assert (why_not(row, DAY, lax) is None) is (not row["is_closed"] and row["is_active"] and not row["is_archived"])


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"page_sise": 10}, "page_sise"),
        ({"page_size": "100"}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"page_size": 0}, "at least 1"),
        ({"gamma_url": "gamma"}, "http"),
        ({"timeout_seconds": 0}, "above 0"),
        ({"recurring_slug_pattern": "("}, "regular expression"),
        ({"min_liquidity_usd": -1}, "negative"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_polymarket(section)


def test_the_shipped_section_is_the_default() -> None:
    import tomllib
    from pathlib import Path

    shipped = tomllib.loads((Path(__file__).parents[3] / "foreshore.toml").read_text())["polymarket"]
    assert load_polymarket(shipped) == Polymarket()
    assert set(shipped) == set(vars(Polymarket()))


def test_history_has_no_point_after_the_snapshot() -> None:
    until = datetime(2026, 1, 5, tzinfo=UTC)
    second = int(until.timestamp())
    points = [{"t": second + 1, "p": 0.9}, {"t": second, "p": 0.5}, {"t": second - 60, "p": 0.4}]
    odd = [{"t": second - 60, "p": 0.45}, {"t": "x", "p": 0.1}, {"p": 0.1}, {"t": 5, "p": True}, {"t": 9, "p": 2}, 7]
    found = history_points([{"history": points}, {"history": odd}], until)
    assert found == ([(until - timedelta(seconds=60), 0.45), (until, 0.5)], 5)


def test_points_with_a_text_price_or_in_milliseconds_are_counted() -> None:
    until = datetime(2026, 1, 5, tzinfo=UTC)
    second = int(until.timestamp()) - 60
    odd = [{"t": second, "p": "0.45"}, {"t": second * 1000, "p": 0.45}, {"t": -1, "p": 0.4}, {"t": second, "p": -0.1}]
    assert history_points([{"history": odd}], until) == ([], 4)


def test_a_book_may_list_its_levels_either_way() -> None:
    bids = [{"price": "0.40", "size": "5"}, {"price": "0.41", "size": "7"}, {"price": "0.5", "size": "0"}]
    asks = [{"price": "0.99", "size": "1"}, {"price": "0.44", "size": "3"}]
    for turn in (1, -1):
        row = read_book({"bids": bids[::turn], "asks": asks[::turn], "timestamp": "1767597420000"})
        assert (row["best_bid"], row["bid_size"], row["best_ask"], row["ask_size"]) == (0.41, 7.0, 0.44, 3.0)
        assert (row["midpoint"], row["book_status"]) == (0.425, "two_sided")
    assert read_book({"bids": [], "asks": asks, "timestamp": "soon"})["book_status"] == "ask_only"
    with pytest.raises(Malformed):
        read_book({"bids": [{"price": "x", "size": "1"}], "asks": []})
