"""How a market ended, from its record alone. Pure.

`resolved` takes three things at once: it is closed, the last of its UMA statuses is `resolved`, and its two prices
are exactly 1 and 0. The same with one half each is `void`. Everything else is `undetermined` and says why; a last
price, however near to 1, is not a result, and `endDate` says nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from extract.markets.fields import Malformed, Record, array, flag, identity, moment, text, texts
from extract.markets.normalize import Row, last_uma_status

RESOLVED, VOID, UNDETERMINED = "resolved", "void", "undetermined"
FINAL_STATUS = "resolved"
_HALF = Decimal("0.5")


def classify(record: Any) -> Row:
    """Columns of RESOLUTIONS that follow from the record; an unreadable record is undetermined, not an error."""
    if not isinstance(record, Mapping):
        return _row({}, UNDETERMINED, "not_an_object")
    try:
        return _classify(record)
    except Malformed as why:
        return _row({}, UNDETERMINED, why.reason) | {"market_id": _identity(record)}


def _classify(record: Record) -> Row:
    names = texts(record, "outcomes")
    values = array(record, "outcomePrices")
    status, reason, label = verdict(
        bool(flag(record, "closed")), last_uma_status(record), len(names or []), prices_of(values)
    )
    row = _row(record, status, reason)
    closed_at, uma_end_at = moment(record, "closedTime"), moment(record, "umaEndDate")
    row |= {"outcomes": names, "outcome_prices_text": None if values is None else [str(v) for v in values]}
    row |= {"closed_at": closed_at, "uma_end_at": uma_end_at, "end_at": moment(record, "endDate")}
    if status != UNDETERMINED:
        row["resolved_at"] = closed_at or uma_end_at
    if label is not None and names is not None:
        row |= {"label": label, "winning_outcome": names[0 if label else 1]}
    return row


def verdict(
    is_closed: bool, uma_status: str | None, outcomes: int, prices: list[Decimal] | None
) -> tuple[str, str, int | None]:
    """(status, reason, label of the first outcome) from the four facts that count."""
    if outcomes != 2:
        return UNDETERMINED, "not_binary", None
    if not is_closed:
        return UNDETERMINED, "not_closed", None
    if uma_status != FINAL_STATUS:
        return UNDETERMINED, "no_uma_status" if uma_status is None else "not_final", None
    if prices is None or len(prices) != 2:
        return UNDETERMINED, "no_prices", None
    if sorted(prices) == [0, 1]:
        return RESOLVED, "one_hot", int(prices[0])
    if prices == [_HALF, _HALF]:
        return VOID, "half_half", None
    return UNDETERMINED, "zero_prices" if prices == [0, 0] else "fractional_prices", None


def prices_of(values: list[Any] | None) -> list[Decimal] | None:
    """Exact decimals: 0.9999999563569650195 is not 1. None when there are none or one is no number."""
    if values is None or any(isinstance(v, bool) or not isinstance(v, str | int | float) for v in values):
        return None
    try:
        found = [Decimal(str(value).strip()) for value in values]
    except InvalidOperation:
        return None
    return found if all(price.is_finite() for price in found) else None


def _row(record: Record, status: str, reason: str) -> Row:
    return {
        "market_id": _identity(record),
        "condition_id": text(record, "conditionId"),
        "status": status,
        "reason": reason,
        "label": None,
        "winning_outcome": None,
        "outcomes": None,
        "outcome_prices_text": None,
        "is_closed": flag(record, "closed"),
        "uma_status": last_uma_status(record),
        "uma_statuses": texts(record, "umaResolutionStatuses"),
        "closed_at": None,
        "uma_end_at": None,
        "resolved_at": None,
        "end_at": None,
    }


def _identity(record: Record) -> str | None:
    try:
        return identity(record, "id")
    except Malformed:
        return None
