"""From a record as Gamma writes it to a typed market, or to the reason why not. Pure: no I/O, no clock.

Nothing is repaired. A record that lacks what a forecast needs (who it is, what is asked, its outcomes, prices, tokens,
state and day) is refused on its own, its neighbours stay. Any other field that cannot be read is null, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from extract.markets.fields import (
    Malformed,
    Notes,
    Record,
    array,
    as_number,
    day_of,
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
# In an event that may still get outcomes, those not yet named: a word for what they will be and a place in the row A,
# B, ... Z, AA, AB, ...; and the one for all the rest. "Team GB" and "Liverpool FC" are names: no event has that many
# places, and a club is no kind of outcome. Convention: docs.polymarket.com/developers/neg-risk/overview.
_KINDS = (
    "Actor|Album|Artist|Author|Book|Candidate|City|Club|Coach|Company|Contestant|Country|Driver|Entity|Film|Game|Individual|"
    "Model|Movie|Name|Nominee|Option|Organization|Other|Outcome|Party|Person|Place|Placeholder|Player|Politician|Show|Song|"
    "State|Team"
)
_UNNAMED = re.compile(rf"(?:(?:{_KINDS}) A?[A-Z]|Other)", re.IGNORECASE)


def normalize_market(record: Any) -> Row:
    """Columns of MARKETS without those of the day and the clocks. Errors: Malformed."""
    if not isinstance(record, Mapping):
        raise Malformed("not_an_object", None, f"the record is {shown(record)}")
    market_id = identity(record, "id")
    if market_id is None:
        raise missing("id")
    notes = Notes()
    events = notes.reading(objects, record, "events")
    event: Record = events[0] if events else {}
    row: Row = {"market_id": market_id, "condition_id": condition_of(record)}
    row |= _words(record, notes) | _event(event, notes) | _outcomes(record) | _book(record, notes)
    row |= _prices(record, notes) | _sizes(record, notes) | _neg_risk(record, event, notes) | _fees(record, notes)
    row |= _state(record, notes) | _times(record, notes)
    return row | {"notes": notes.lines}


def condition_of(record: Record) -> str:
    """The condition's 32 bytes as lower-case hex. Errors: Malformed."""
    condition = needed_text(record, "conditionId").lower()
    if not _CONDITION.fullmatch(condition):
        raise Malformed("bad_id", "conditionId", f"conditionId is {shown(condition)}, not 32 bytes of hex")
    return condition


def _words(record: Record, notes: Notes) -> Row:
    return {
        "slug": notes.words(record, "slug"),
        "question": notes.needed_words(record, "question"),
        "description": notes.words(record, "description"),
        "category": notes.words(record, "category"),
    }


def _event(event: Record, notes: Notes) -> Row:
    series = notes.reading(objects, event, "series")
    first: Record = series[0] if series else {}
    return {
        "event_id": notes.reading(identity, event, "id"),
        "event_slug": notes.words(event, "slug"),
        "event_title": notes.words(event, "title"),
        "series_slug": notes.words(event, "seriesSlug") or notes.words(first, "slug"),
        "series_recurrence": notes.words(first, "recurrence"),
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
    return {"outcomes": names, "outcome_prices": prices, "price": prices[0], "token_ids": tokens_of(record)}


def tokens_of(record: Record) -> list[str]:
    """Tokens of the CTF, or the position ids that markets of protocol v2 have in their place. Errors: Malformed."""
    name = "clobTokenIds" if array(record, "clobTokenIds") else "positionIds"
    tokens = texts(record, name)
    if not tokens:
        raise missing("clobTokenIds")
    if len(tokens) != 2:
        raise Malformed("length_mismatch", name, f"{len(tokens)} tokens for 2 outcomes")
    if tokens[0] == tokens[1] or not all(_TOKEN.fullmatch(token) for token in tokens):
        raise Malformed("bad_id", name, f"{name} are {shown(tokens)}")
    return tokens


def _book(record: Record, notes: Notes) -> Row:
    """Best prices of the listing; a side that cannot be read leaves the book unknown, which is not an empty side."""
    before = len(notes.lines)
    bid = notes.reading(number, record, "bestBid", low=0, high=1)
    ask = notes.reading(number, record, "bestAsk", low=0, high=1)
    found = book_columns(bid, ask)
    return (
        found if len(notes.lines) == before else found | {"midpoint": None, "spread": None, "book_status": "unreadable"}
    )


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


def _prices(record: Record, notes: Notes) -> Row:
    changes = {"1h": "oneHourPriceChange", "1d": "oneDayPriceChange", "1w": "oneWeekPriceChange"}
    changes |= {"1m": "oneMonthPriceChange"}
    return {
        "last_trade_price": notes.reading(number, record, "lastTradePrice", low=0, high=1) or None,
        "tick_size": notes.reading(number, record, "orderPriceMinTickSize", low=0, high=1),
        **{
            f"price_change_{span}": notes.reading(number, record, name, low=-1, high=1)
            for span, name in changes.items()
        },
    }


def _sizes(record: Record, notes: Notes) -> Row:
    """The numeric twins first: `volume` and `liquidity` are text, and absent on some records."""
    return {
        "volume_usd": notes.reading(number, record, "volumeNum", "volume", low=0),
        "volume_24h_usd": notes.reading(number, record, "volume24hr", low=0),
        "volume_1w_usd": notes.reading(number, record, "volume1wk", low=0),
        "liquidity_usd": notes.reading(number, record, "liquidityNum", "liquidity", low=0),
    }


def _neg_risk(record: Record, event: Record, notes: Notes) -> Row:
    is_augmented = any(notes.reading(flag, where, "negRiskAugmented") for where in (event, record))
    is_unnamed = is_augmented and _UNNAMED.fullmatch((notes.words(record, "groupItemTitle") or "").strip()) is not None
    group = notes.reading(text, record, "negRiskMarketID") or notes.reading(text, event, "negRiskMarketID")
    is_neg_risk = bool(notes.reading(flag, record, "negRisk"))
    return {
        "is_neg_risk": is_neg_risk,
        "neg_risk_market_id": group.lower() if group and is_neg_risk else None,
        "is_neg_risk_placeholder": bool(notes.reading(flag, record, "negRiskOther")) or is_unnamed,
        "is_neg_risk_augmented": is_augmented,
    }


def _fees(record: Record, notes: Notes) -> Row:
    schedule = record.get("feeSchedule") or {}
    if not isinstance(schedule, Mapping):
        notes.lines.append(f"feeSchedule is {shown(schedule)}, not an object")
        schedule = {}
    return {
        "is_fee_enabled": notes.reading(flag, record, "feesEnabled"),
        "fee_rate": notes.reading(number, schedule, "rate", low=0),
        "fee_exponent": notes.reading(number, schedule, "exponent", low=0),
        "fee_taker_only": notes.reading(flag, schedule, "takerOnly"),
    }


def _state(record: Record, notes: Notes) -> Row:
    is_active, is_closed = flag(record, "active"), flag(record, "closed")
    if is_active is None or is_closed is None:
        raise missing("active" if is_active is None else "closed")
    return {
        "is_active": is_active,
        "is_closed": is_closed,
        "is_archived": notes.reading(flag, record, "archived"),
        "is_accepting_orders": notes.reading(flag, record, "acceptingOrders"),
        "uma_status": uma_status_of(record, notes),
    }


def uma_status_of(record: Record, notes: Notes) -> str | None:
    """What the oracle says now: the single field, which is kept up to date, and else the last entry of its history.

    On sports markets the history has stayed behind the single field since August 2026.
    """
    history = notes.reading(texts, record, "umaResolutionStatuses")
    return notes.reading(text, record, "umaResolutionStatus") or (history[-1] if history else None)


def _times(record: Record, notes: Notes) -> Row:
    """The day is what a row needs of `endDate`; a date alone has one, but no moment."""
    end_at, end_date = None, day_of(record, "endDate")
    if end_date is None:
        end_at = moment(record, "endDate")
        if end_at is None:
            raise missing("endDate")
        end_date = end_at.date()
    else:
        notes.lines.append("endDate is a date without a time: the moment is not known")
    times = {"start_at": "startDate", "updated_at": "updatedAt"}
    return {
        "end_at": end_at,
        "end_date": end_date,
        **{column: notes.reading(moment, record, name) for column, name in times.items()},
    }


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
