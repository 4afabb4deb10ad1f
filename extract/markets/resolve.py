"""How a market ended, from its record, its snapshot and (where the record is silent) the CLOB. Pure.

`resolved` takes three things at once: it is closed, the newest statement about its result is final, and its two prices
are exactly 1 and 0. The same with one half each is `void`. Everything else is `undetermined` and says why; a last
price, however near to 1, is not a result, and `endDate` says nothing about it. A record that is about another market
than the snapshot was, or that cannot be read, is `refused`: it says nothing. Truth table: docs/markets/guide.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from extract.markets.fields import Malformed, Notes, Record, array, flag, identity, moment, text, texts
from extract.markets.normalize import Row, uma_status_of

RESOLVED, VOID, UNDETERMINED, REFUSED = "resolved", "void", "undetermined", "refused"
FINAL_STATUS = "resolved"
SILENT, CONTRADICTORY = "no_uma_status", "statements_disagree"
TOKEN_FIELDS = ("clobTokenIds", "positionIds")
_HALF = Decimal("0.5")


@dataclass(frozen=True)
class Asked:
    """A market as its snapshot had it, so that an answer can prove that it is about this one."""

    market_id: str
    condition_id: str | None = None
    outcomes: tuple[str, ...] = ()
    token_ids: tuple[str, ...] = ()


def classify(record: Any, asked: Asked | None = None) -> Row:
    """Columns of RESOLUTIONS that follow from the record. A record that says nothing is a row, not an error.

    `label` and `winning_token_id` are in the snapshot's terms; without `asked`, in the record's own.
    """
    notes = Notes()
    row = _empty(asked)
    try:
        if not isinstance(record, Mapping):
            raise Malformed("not_an_object", None, "the answer is no object")
        row |= _facts(record, notes)
        row |= _verdict(record, asked, notes)
    except Malformed as why:
        status = UNDETERMINED if asked is None else REFUSED
        row |= {"status": status, "reason": why.reason}
        notes.lines.append(why.detail)
    return row | {"notes": notes.lines}


def unknown(asked: Asked) -> Row:
    """The row of a market that the source does not know (any more)."""
    return _empty(asked) | {"status": REFUSED, "reason": "not_found", "notes": []}


def wants_the_clob(row: Row) -> bool:
    """Whether the record is as good as final, at exactly 1 and 0, and only a statement is missing or in doubt."""
    return (
        row["status"] == UNDETERMINED and row["reason"] in (SILENT, CONTRADICTORY) and row["token_at_one"] is not None
    )


def with_the_clob(row: Row, market: Any, asked: Asked) -> Row:
    """The row, decided by `tokens[].winner` of the CLOB's own record where that names the token that is priced 1."""
    winner = _clob_winner(market, asked.condition_id)
    if winner is None or len(asked.token_ids) != 2:
        return row
    said = row | {"clob_winning_token_id": winner}
    if winner != row["token_at_one"]:
        return said | {"reason": "sources_disagree"}
    return said | {"status": RESOLVED, "reason": "clob_winner"} | _won(winner, row, asked)


def _clob_winner(market: Any, condition_id: str | None) -> str | None:
    """The one token that won; None unless the market is closed, is this one, and exactly one token says so."""
    if (
        not isinstance(market, Mapping)
        or market.get("closed") is not True
        or not isinstance(market.get("tokens"), list)
    ):
        return None
    if condition_id is not None and str(market.get("condition_id", "")).lower() != condition_id:
        return None
    tokens = market.get("tokens")
    told = [token for token in tokens if isinstance(token, Mapping)] if isinstance(tokens, list) else []
    won = [token for token in told if token.get("winner") is True]
    return str(won[0].get("token_id")) if len(won) == 1 else None


def _facts(record: Record, notes: Notes) -> Row:
    """What is kept of the record whatever it comes to; none of it can refuse the answer."""
    closed_at, uma_end_at = notes.reading(moment, record, "closedTime"), notes.reading(moment, record, "umaEndDate")
    prices = notes.reading(array, record, "outcomePrices")
    condition = notes.reading(text, record, "conditionId")
    return {
        "market_id": notes.reading(identity, record, "id"),
        "condition_id": condition.lower() if condition else None,
        "outcomes": notes.reading(texts, record, "outcomes"),
        "outcome_prices_text": None if prices is None else [str(price) for price in prices],
        "is_closed": notes.reading(flag, record, "closed"),
        "uma_status": uma_status_of(record, notes),
        "uma_statuses": notes.reading(texts, record, "umaResolutionStatuses"),
        "is_automatically_resolved": notes.reading(flag, record, "automaticallyResolved"),
        "closed_at": closed_at,
        "uma_end_at": uma_end_at,
        "end_at": notes.reading(moment, record, "endDate"),
    }


def _verdict(record: Record, asked: Asked | None, notes: Notes) -> Row:
    """Status, reason and label. Errors: Malformed when it is about another market, or not readable where it counts."""
    names, tokens = texts(record, "outcomes"), _tokens(record, asked)
    is_turned = False
    if asked is not None:
        is_turned = _is_turned(record, asked, names, tokens)
        tokens = list(asked.token_ids[::-1] if is_turned else asked.token_ids) or tokens
    prices = prices_of(array(record, "outcomePrices"))
    status, reason, winner = verdict(
        bool(flag(record, "closed")), statement_of(record, notes), len(names or []), prices
    )
    at_one = prices.index(Decimal(1)) if prices is not None and sorted(prices) == [0, 1] else None
    row: Row = {"status": status, "reason": reason, "is_turned": is_turned if asked else None}
    row["token_at_one"] = tokens[at_one] if at_one is not None and len(tokens) == 2 else None
    if status in (RESOLVED, VOID):
        row["resolved_at"] = notes.reading(moment, record, "closedTime", "umaEndDate")
    if winner is not None and names is not None:
        label = int((winner == 0) != is_turned)
        row |= {"label": label, "winning_outcome": names[winner], "winning_token_id": row["token_at_one"]}
    return row


def statement_of(record: Record, notes: Notes) -> str | None:
    """The newest statement about the result. Single statuses are kept up to date; the history may have stayed behind.

    `automaticallyResolved` says that a result was written without the oracle's game of proposal and dispute, and
    `resolutionStatus` (inactive, active, resolved) is what protocol v2 has beside or instead of that game. Where one is
    final and another is not they contradict each other (`statements_disagree`). Source: polymarket-client 0.14.0,
    models/gamma/market.py.
    """
    is_automatic = notes.reading(flag, record, "automaticallyResolved")
    single, of_v2 = (notes.reading(text, record, name) for name in ("umaResolutionStatus", "resolutionStatus"))
    told = [each for each in (single, FINAL_STATUS if is_automatic else None, of_v2) if each]
    if len({_is_final(each) for each in told}) == 2:
        return CONTRADICTORY
    return told[0] if told else uma_status_of(record, notes)


def _is_final(status: str | None) -> bool:
    return status is not None and status.strip().lower() == FINAL_STATUS


def verdict(
    is_closed: bool, statement: str | None, outcomes: int, prices: list[Decimal] | None
) -> tuple[str, str, int | None]:
    """(status, reason, place of the outcome that happened) from the four facts that count."""
    if outcomes != 2:
        return UNDETERMINED, "not_binary", None
    if not is_closed:
        return UNDETERMINED, "not_closed", None
    if statement in (None, CONTRADICTORY):
        return UNDETERMINED, SILENT if statement is None else CONTRADICTORY, None
    if not _is_final(statement):
        return UNDETERMINED, "not_final", None
    if prices is None or len(prices) != 2:
        return UNDETERMINED, "no_prices", None
    if sorted(prices) == [0, 1]:
        return RESOLVED, "one_hot", prices.index(Decimal(1))
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


def _is_turned(record: Record, asked: Asked, names: Sequence[str] | None, tokens: Sequence[str]) -> bool:
    """Whether outcomes stand in the other order than in the snapshot. Errors: Malformed when it is another market."""
    condition = text(record, "conditionId")
    if condition is not None and asked.condition_id is not None and condition.lower() != asked.condition_id:
        raise Malformed("other_condition", "conditionId", f"conditionId is {condition}, not {asked.condition_id}")
    by_token = _order(asked.token_ids, tokens)
    if by_token is None and asked.token_ids and tokens:
        raise Malformed("other_tokens", TOKEN_FIELDS[0], "its tokens are not those of the snapshot")
    if condition is None and by_token is None:
        raise Malformed("unidentified", "conditionId", "it has neither the condition nor the tokens of the snapshot")
    by_name = _order([_plain(name) for name in asked.outcomes], [_plain(name) for name in names or []])
    if by_name is None and asked.outcomes and names:
        raise Malformed("other_outcomes", "outcomes", f"outcomes are {list(names)}, not {list(asked.outcomes)}")
    if None not in (by_token, by_name) and by_token != by_name:
        raise Malformed("outcomes_moved", "outcomes", "its tokens stand beside other outcomes than in the snapshot")
    return bool(by_name if by_token is None else by_token)


def _order(before: Sequence[str], now: Sequence[str]) -> bool | None:
    """False: the same two in the same order; True: turned; None: not the same two."""
    if len(before) != 2 or sorted(before) != sorted(now):
        return None
    return list(before) != list(now)


def _plain(name: str) -> str:
    return name.strip().casefold()


def _tokens(record: Record, asked: Asked | None) -> list[str]:
    """Two tokens, those of the snapshot where the record has several kinds; none identify, but an end needs none."""
    found = []
    for name in TOKEN_FIELDS:
        values = array(record, name)
        if values and len(values) == 2 and all(isinstance(token, str) for token in values):
            found.append([str(token) for token in values])
    known = [tokens for tokens in found if asked is not None and _order(asked.token_ids, tokens) is not None]
    return (known or found or [[]])[0]


def _won(token: str, row: Row, asked: Asked) -> Row:
    label = 1 - asked.token_ids.index(token)
    place = (1 - label) if not row["is_turned"] else label
    name = row["outcomes"][place] if row["outcomes"] else None
    resolved_at = row["closed_at"] or row["uma_end_at"]
    return {"label": label, "winning_outcome": name, "winning_token_id": token, "resolved_at": resolved_at}


def _empty(asked: Asked | None) -> Row:
    return {
        "market_id": asked.market_id if asked else None,
        "condition_id": asked.condition_id if asked else None,
        "status": UNDETERMINED,
        "reason": "not_asked",
        "label": None,
        "winning_token_id": None,
        "winning_outcome": None,
        "outcomes": None,
        "is_turned": None,
        "outcome_prices_text": None,
        "is_closed": None,
        "uma_status": None,
        "uma_statuses": None,
        "is_automatically_resolved": None,
        "clob_winning_token_id": None,
        "closed_at": None,
        "uma_end_at": None,
        "resolved_at": None,
        "end_at": None,
        "token_at_one": None,
    }
