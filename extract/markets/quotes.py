"""Price history and order books: from answers of the CLOB to rows. Pure.

A history point after the snapshot is not the snapshot's to see and is dropped here, whatever was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from extract.markets.fields import Malformed, as_number
from extract.markets.normalize import Row, book_columns

_LATEST_SECOND = 10**11  # the year 5138; a time beyond it is one in milliseconds


def history_points(answers: Sequence[Any], until: datetime) -> tuple[list[tuple[datetime, float]], int]:
    """(time, price) in order, once each, none after `until`; and how many points were none: a text for a price, a
    price outside [0, 1], a time that is not in seconds. Such a point is dropped, never guessed at."""
    points = [_point(point) for answer in answers for point in answer["history"]]
    read = [point for point in points if point is not None]
    found = {second: price for second, price in read if second <= until.timestamp()}
    return [(datetime.fromtimestamp(second, UTC), found[second]) for second in sorted(found)], len(points) - len(read)


def _point(point: Any) -> tuple[int, float] | None:
    """(seconds since 1970, price in [0, 1])."""
    second, price = (point.get("t"), point.get("p")) if isinstance(point, dict) else (None, None)
    if type(second) is not int or not 0 <= second < _LATEST_SECOND:
        return None
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price <= 1:
        return None
    return second, float(price)


def read_book(answer: Any) -> Row:
    """Best prices with their sizes, whichever way the levels are ordered. Errors: Malformed."""
    bids, asks = _levels(answer, "bids"), _levels(answer, "asks")
    best_bid, best_ask = max(bids, default=None), min(asks, default=None)
    row = book_columns(best_bid[0] if best_bid else None, best_ask[0] if best_ask else None)
    row.pop("spread")
    row |= {"bid_size": best_bid[1] if best_bid and row["best_bid"] is not None else None}
    row |= {"ask_size": best_ask[1] if best_ask and row["best_ask"] is not None else None}
    return row | {"book_at": _book_time(answer.get("timestamp"))}


def no_book() -> Row:
    """The columns of a token that the CLOB has no book for."""
    sides = {"best_bid": None, "best_ask": None, "midpoint": None, "bid_size": None, "ask_size": None, "book_at": None}
    return {"book_status": "missing", **sides}


def _levels(answer: Any, side: str) -> list[tuple[float, float]]:
    found = []
    for level in answer[side]:
        if not isinstance(level, dict):
            raise Malformed("bad_json", side, f"a level of {side} is no object")
        price, size = as_number(level.get("price"), side), as_number(level.get("size"), side)
        if not 0 <= price <= 1 or size < 0:
            raise Malformed("out_of_range", side, f"{size:g} at {price:g}")
        if size > 0:
            found.append((price, size))
    return found


def _book_time(value: Any) -> datetime | None:
    """Milliseconds since 1970, as text or number."""
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC) if value is not None else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None
