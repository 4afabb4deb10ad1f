"""From a record as Gamma writes it to a typed market, or to the reason why not. Pure: no I/O, no clock.

Nothing is repaired. A record that lacks what a forecast needs is refused on its own; its neighbours stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from extract.markets.fields import (
    Malformed,
    Record,
    array,
    as_number,
    flag,
    identity,
    missing,
    moment,
    needed_text,
    number,
    objects,
    shown,
    text,
    texts,
)

Row: TypeAlias = dict[str, Any]
PRICE_SUM_TOLERANCE = 0.02  # two prices of one market add up to 1: exactly so in 189 of 189 recorded open ones
_CONDITION = re.compile(r"0x[0-9a-f]{64}")
_TOKEN = re.compile(r"\d{1,78}|0x[0-9a-fA-F]{64}")
# in an event that may still get outcomes, those not yet named: "Person B", "Team AF", and the one for all the rest
_UNNAMED = re.compile(r"(?:[A-Z][a-z]+ [A-Z]{1,2}|Other)")


def normalize_market(record: Any) -> Row:
    """Columns of MARKETS without those of the day and the clocks. Errors: Malformed."""
    if not isinstance(record, Mapping):
        raise Malformed("not_an_object", None, f"the record is {shown(record)}")
    market_id = identity(record, "id")
    if market_id is None:
        raise missing("id")
    events = objects(record, "events")
    event: Record = events[0] if events else {}
    row: Row = {"market_id": market_id, "condition_id": _condition(record), **_words(record), **_event(event)}
    row |= _outcomes(record)
    row |= book_columns(number(record, "bestBid", low=0, high=1), number(record, "bestAsk", low=0, high=1))
    row |= _prices(record) | _sizes(record) | _neg_risk(record, event) | _fees(record) | _state(record)
    return row | _times(record)


def _condition(record: Record) -> str:
    condition = needed_text(record, "conditionId").lower()
    if not _CONDITION.fullmatch(condition):
        raise Malformed("bad_id", "conditionId", f"conditionId is {shown(condition)}, not 32 bytes of hex")
    return condition


def _words(record: Record) -> Row:
    return {
        "slug": text(record, "slug"),
        "question": needed_text(record, "question"),
        "description": text(record, "description"),
        "category": text(record, "category"),
    }


def _event(event: Record) -> Row:
    series = objects(event, "series")
    first: Record = series[0] if series else {}
    return {
        "event_id": identity(event, "id"),
        "event_slug": text(event, "slug"),
        "event_title": text(event, "title"),
        "series_slug": text(event, "seriesSlug") or text(first, "slug"),
        "series_recurrence": text(first, "recurrence"),
    }


def _outcomes(record: Record) -> Row:
    names = texts(record, "outcomes")
    if names is None:
        raise missing("outcomes")
    if len(names) != 2 or names[0] == names[1]:
        raise Malformed("not_binary", "outcomes", f"outcomes are {shown(names)}")
    values = array(record, "outcomePrices")
    if values is None:
        raise missing("outcomePrices")
    prices = [as_number(value, "outcomePrices") for value in values]
    if len(prices) != 2:
        raise Malformed("length_mismatch", "outcomePrices", f"{len(prices)} prices for 2 outcomes")
    if not all(0 <= price <= 1 for price in prices):
        raise Malformed("out_of_range", "outcomePrices", f"outcomePrices are {shown(values)}, outside [0, 1]")
    if abs(sum(prices) - 1) > PRICE_SUM_TOLERANCE:
        raise Malformed("prices_do_not_add_up", "outcomePrices", f"outcomePrices are {shown(values)}, not 1 together")
    return {"outcomes": names, "outcome_prices": prices, "price": prices[0], "token_ids": _tokens(record)}


def _tokens(record: Record) -> list[str]:
    """Tokens of the CTF, or the position ids that markets of protocol v2 have in their place."""
    name = "clobTokenIds" if array(record, "clobTokenIds") else "positionIds"
    tokens = texts(record, name)
    if not tokens:
        raise missing("clobTokenIds")
    if len(tokens) != 2:
        raise Malformed("length_mismatch", name, f"{len(tokens)} tokens for 2 outcomes")
    if tokens[0] == tokens[1] or not all(_TOKEN.fullmatch(token) for token in tokens):
        raise Malformed("bad_id", name, f"{name} are {shown(tokens)}")
    return tokens


def book_columns(bid: float | None, ask: float | None) -> Row:
    """Best prices of a book, and its midpoint where both sides are there.

    The source writes 0 and 1 for sides on which nobody stands: a bid of 0 buys nothing, an ask of 1 sells nothing.
    """
    bid = bid if bid is not None and bid > 0 else None
    ask = ask if ask is not None and ask < 1 else None
    if bid is None or ask is None:
        status = "empty" if bid is None and ask is None else "ask_only" if bid is None else "bid_only"
        return {"best_bid": bid, "best_ask": ask, "midpoint": None, "spread": None, "book_status": status}
    if bid >= ask:
        return {"best_bid": bid, "best_ask": ask, "midpoint": None, "spread": None, "book_status": "crossed"}
    both = {"midpoint": round((bid + ask) / 2, 12), "spread": round(ask - bid, 12), "book_status": "two_sided"}
    return {"best_bid": bid, "best_ask": ask, **both}


def _prices(record: Record) -> Row:
    changes = {"1h": "oneHourPriceChange", "1d": "oneDayPriceChange", "1w": "oneWeekPriceChange"}
    changes |= {"1m": "oneMonthPriceChange"}
    return {
        "last_trade_price": number(record, "lastTradePrice", low=0, high=1) or None,
        "tick_size": number(record, "orderPriceMinTickSize", low=0, high=1),
        **{f"price_change_{span}": number(record, name, low=-1, high=1) for span, name in changes.items()},
    }


def _sizes(record: Record) -> Row:
    """The numeric twins first: `volume` and `liquidity` are text, and absent on some records."""
    return {
        "volume_usd": number(record, "volumeNum", "volume", low=0),
        "volume_24h_usd": number(record, "volume24hr", low=0),
        "volume_1w_usd": number(record, "volume1wk", low=0),
        "liquidity_usd": number(record, "liquidityNum", "liquidity", low=0),
    }


def _neg_risk(record: Record, event: Record) -> Row:
    is_augmented = bool(flag(event, "negRiskAugmented") or flag(record, "negRiskAugmented"))
    is_unnamed = is_augmented and _UNNAMED.fullmatch(text(record, "groupItemTitle") or "") is not None
    group = text(record, "negRiskMarketID") or text(event, "negRiskMarketID")
    is_neg_risk = bool(flag(record, "negRisk"))
    return {
        "is_neg_risk": is_neg_risk,
        "neg_risk_market_id": group.lower() if group and is_neg_risk else None,
        "is_neg_risk_placeholder": bool(flag(record, "negRiskOther")) or is_unnamed,
        "is_neg_risk_augmented": is_augmented,
    }


def _fees(record: Record) -> Row:
    schedule = record.get("feeSchedule") or {}
    if not isinstance(schedule, Mapping):
        raise Malformed("bad_json", "feeSchedule", f"feeSchedule is {shown(schedule)}, not an object")
    return {
        "is_fee_enabled": flag(record, "feesEnabled"),
        "fee_rate": number(schedule, "rate", low=0),
        "fee_exponent": number(schedule, "exponent", low=0),
        "fee_taker_only": flag(schedule, "takerOnly"),
    }


def _state(record: Record) -> Row:
    is_active, is_closed = flag(record, "active"), flag(record, "closed")
    if is_active is None or is_closed is None:
        raise missing("active" if is_active is None else "closed")
    return {
        "is_active": is_active,
        "is_closed": is_closed,
        "is_accepting_orders": flag(record, "acceptingOrders"),
        "uma_status": last_uma_status(record),
    }


def last_uma_status(record: Record) -> str | None:
    """The last of its history; the single field only where there is no history."""
    history = texts(record, "umaResolutionStatuses")
    return history[-1] if history else text(record, "umaResolutionStatus")


def _times(record: Record) -> Row:
    end_at = moment(record, "endDate")
    if end_at is None:
        raise missing("endDate")
    return {"start_at": moment(record, "startDate"), "end_at": end_at, "updated_at": moment(record, "updatedAt")}


def normalize_records(records: Sequence[Any]) -> tuple[list[tuple[int, Row]], list[tuple[int, Any, Malformed]]]:
    """Markets and refusals of one page, each with its position on it (1 is the first)."""
    rows: list[tuple[int, Row]] = []
    refusals: list[tuple[int, Any, Malformed]] = []
    for position, record in enumerate(records, 1):
        try:
            rows.append((position, normalize_market(record)))
        except Malformed as why:
            refusals.append((position, record, why))
    return rows, refusals
