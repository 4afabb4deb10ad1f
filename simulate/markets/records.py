"""Markets of the world as the services write them at a moment: Gamma's records with their quirks, books, history."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any

from simulate.markets.text import slugged
from simulate.markets.world import STEP, Event, Market

Record = dict[str, Any]
NOBODY_BIDS_BELOW = 0.012  # the book has asks only


def quote(market: Market, moment: datetime) -> tuple[float | None, float]:
    """Best bid (None: nobody bids) and best ask of the first outcome."""
    middle = min(max(market.event.shown(market.hypothesis, moment), 0.0008), 0.9985)
    tick = tick_of(market)
    half = tick * (1 + int(market.market_id) % 2) / 2
    bid, ask = math.floor((middle - half) / tick) * tick, math.ceil((middle + half) / tick) * tick
    if bid < tick or middle < NOBODY_BIDS_BELOW:
        return None, round(max(ask, tick), 4)
    return round(bid, 4), round(min(max(ask, bid + tick), 1 - tick), 4)


def tick_of(market: Market) -> float:
    return 0.001 if int(market.market_id) % 3 else 0.01


def price(market: Market, moment: datetime) -> float:
    """What the site shows: the middle of the book, with 0 where nobody bids."""
    bid, ask = quote(market, moment)
    return round(((bid or 0.0) + ask) / 2, 6)


def gamma_record(market: Market, moment: datetime) -> Record:
    """A market as `/markets` has it."""
    event, closed = market.event, market.is_closed(moment)
    trading = min(moment, event.ended_at)
    bid, ask = quote(market, trading)
    lived = min(1.0, max(0.02, (trading - event.start_at) / (event.end_at - event.start_at)))
    record = _words(market) | {
        "outcomePrices": json.dumps(outcome_prices(market, moment)),
        "volume": f"{market.volume * lived:.6f}",
        "volumeNum": round(market.volume * lived, 2),
        "volume24hr": round(market.volume * lived / 30, 6),
        "volume1wk": round(market.volume * lived / 5, 6),
        "liquidity": f"{market.liquidity:.4f}",
        "liquidityNum": market.liquidity,
        "active": True,
        "closed": closed,
        "acceptingOrders": not closed,
        "updatedAt": f"{moment:%Y-%m-%dT%H:%M:%S.000Z}",
        "bestAsk": ask,
        "spread": round(ask - (bid or 0), 4),
        "lastTradePrice": bid or 0,
        "umaResolutionStatuses": json.dumps(event.statuses(moment)),
        **({"bestBid": bid} if bid is not None else {}),
        **_changes(market, trading),
        **_ended(market, moment),
        "events": [event_record(event)],
    }
    return _oddly(record, market.oddity)


def _words(market: Market) -> Record:
    event = market.event
    group = {"negRisk": True, "negRiskMarketID": group_id(event), "negRiskOther": False} if event.is_group else {}
    title = {"groupItemTitle": market.group_title} if market.group_title else {}
    return {
        "id": market.market_id,
        "question": market.question,
        "conditionId": market.condition_id,
        "slug": market.slug if event.series is None else f"{event.series}-{market.market_id}",
        "description": f"This market resolves to {outcomes(market)[0]} if so, otherwise to {outcomes(market)[1]}.",
        "startDate": f"{event.start_at:%Y-%m-%dT%H:%M:%S.123456Z}",
        "endDate": f"{event.end_at:%Y-%m-%dT%H:%M:%SZ}",
        "endDateIso": f"{event.end_at:%Y-%m-%d}",
        "outcomes": json.dumps(outcomes(market)),
        "clobTokenIds": json.dumps(market.token_ids),
        "orderPriceMinTickSize": tick_of(market),
        "archived": False,
        "feesEnabled": event.topic == "match",
        **({"feeSchedule": _FEES} if event.topic == "match" else {}),
        **group,
        **title,
    }


_FEES = {"exponent": 1, "rate": 0.03, "takerOnly": True, "rebateRate": 0.25}


def outcomes(market: Market) -> list[str]:
    return ["Up", "Down"] if market.event.series else ["Yes", "No"]


def outcome_prices(market: Market, moment: datetime) -> list[str]:
    """Prices as text: exact once a result is final, a last price before."""
    fate, ended = market.event.fate, market.is_closed(moment)
    if ended and fate in ("normal", "early", "disputed"):
        return ["1", "0"] if market.is_true else ["0", "1"]
    if ended and fate in ("void", "zero"):
        return ["0.5", "0.5"] if fate == "void" else ["0", "0"]
    shown = price(market, min(moment, market.event.ended_at))
    return [f"{shown:.6g}", f"{1 - shown:.6g}"]


def _changes(market: Market, moment: datetime) -> Record:
    spans = {"oneHourPriceChange": 1, "oneDayPriceChange": 24, "oneWeekPriceChange": 168}
    now, born = price(market, moment), market.event.start_at
    before = {name: moment - timedelta(hours=hours) for name, hours in spans.items()}
    return {name: round(now - price(market, at), 4) for name, at in before.items() if at >= born}


def _ended(market: Market, moment: datetime) -> Record:
    statuses = market.event.statuses(moment)
    found: Record = {"umaResolutionStatus": statuses[-1]} if statuses else {}
    if market.is_closed(moment):
        found["closedTime"] = f"{market.event.ended_at:%Y-%m-%d %H:%M:%S}+00"
        if statuses and statuses[-1] == "resolved":
            found["umaEndDate"] = f"{market.event.ended_at:%Y-%m-%dT%H:%M:%SZ}"
    return found


def _oddly(record: Record, oddity: str | None) -> Record:
    """Records that are wrong in a way seen in recorded ones."""
    if oddity == "three_outcomes":
        return record | {"outcomes": '["Yes", "No", "Neither"]'}
    if oddity == "no_tokens":
        return record | {"clobTokenIds": None, "conditionId": ""}
    if oddity == "broken_prices":
        return record | {"outcomePrices": '["0.4", '}
    return record | {"liquidityNum": "n/a"} if oddity == "text_liquidity" else record


def article(about: str, number: int, seen: datetime | None) -> Record:
    """An article as GDELT lists it."""
    return {
        "url": f"https://news{number}.example/{slugged(about)}",
        "url_mobile": "",
        "title": f"Report {number}: what is known about {about}",
        "seendate": f"{seen:%Y%m%dT%H%M%SZ}" if seen else "",
        "socialimage": "",
        "domain": f"news{number}.example",
        "language": "English",
        "sourcecountry": "United States",
    }


def clob_record(market: Market, moment: datetime) -> Record:
    """A market as the CLOB's `/markets/{condition_id}` has it: by token, with the winner once there is a result."""
    is_over = market.is_closed(moment) and market.event.fate in ("normal", "early", "disputed")
    won = [is_over and market.is_true, is_over and not market.is_true]
    told = zip(market.token_ids, outcomes(market), outcome_prices(market, moment), won, strict=True)
    return {
        "condition_id": market.condition_id,
        "question": market.question,
        "closed": market.is_closed(moment),
        "archived": False,
        "tokens": [{"token_id": t, "outcome": name, "price": float(p), "winner": w} for t, name, p, w in told],
    }


def group_id(event: Event) -> str:
    return f"0x{event.number:064x}"


def event_record(event: Event) -> Record:
    """An event as it stands inside a market's record."""
    title = f"{event.topic.capitalize()} of {event.end_at:%B %d, %Y} ({event.number})"
    series = {"slug": event.series, "recurrence": "5m"} if event.series else None
    return {
        "id": str(event.number),
        "slug": slugged(title),
        "title": title,
        "endDate": f"{event.end_at:%Y-%m-%dT%H:%M:%SZ}",
        "negRisk": event.is_group,
        "enableNegRisk": event.is_group,
        "negRiskAugmented": False,
        **({"negRiskMarketID": group_id(event)} if event.is_group else {}),
        **({"seriesSlug": event.series, "series": [series]} if series else {}),
    }


def history(market: Market, side: int, since: datetime, until: datetime, minutes: int) -> list[Record]:
    """Points of `/prices-history` in [since, until], never from before the market began or after it ended."""
    first = max(since, market.event.start_at)
    last = min(until, market.event.ended_at)
    step = max(timedelta(minutes=minutes), STEP / 6)
    found = []
    while first <= last:
        shown = price(market, first)
        found.append({"t": int(first.timestamp()), "p": round(shown if side == 0 else 1 - shown, 6)})
        first += step
    return found


def book(market: Market, side: int, moment: datetime) -> Record | None:
    """`/book` of a token; None once the market is closed."""
    if market.is_closed(moment) or not market.is_listed(moment):
        return None
    bid, ask = quote(market, moment)
    if side == 1:
        bid, ask = round(1 - ask, 4), round(1 - bid, 4) if bid is not None else 1.0
    size, tick = f"{market.liquidity / 10:.2f}", tick_of(market)
    levels = [i * tick for i in range(2, -1, -1)]
    return {
        "market": market.condition_id,
        "asset_id": market.token_ids[side],
        "timestamp": str(int(moment.timestamp() * 1000)),
        "bids": [{"price": f"{bid - d:.4g}", "size": size} for d in levels if bid - d > 0] if bid else [],
        "asks": [{"price": f"{ask + d:.4g}", "size": size} for d in levels if ask + d < 1],
        "tick_size": str(tick),
        "neg_risk": market.event.is_group,
    }
