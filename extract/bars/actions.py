"""Corporate actions: splits, dividends and new names, as providers tell them. The ex-date re-bases the price.

A payable date can lie before the ex-date and is kept, never used. `ratio`: `old_shares` became `new_shares`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from extract.bars import symbols as names
from extract.bars.http import number
from extract.bars.provider import BarProviderError, MalformedAnswer
from extract.errors import RequestError

KINDS = ("split", "dividend", "symbol_change", "other")
FILE = "corporate_actions.csv"


class Action(msgspec.Struct, frozen=True):
    """One action of a security. `cash_usd` per share; `declared_on` where the provider says when it was told."""

    symbol: str
    kind: str
    ex_date: date
    old_shares: float | None = None
    new_shares: float | None = None
    cash_usd: float | None = None
    new_symbol: str | None = None
    declared_on: date | None = None
    payable_on: date | None = None
    raw_kind: str = ""


@runtime_checkable
class TellsActions(Protocol):
    """A provider that knows corporate actions."""

    async def actions(self, symbols: Sequence[str], first: date, last: date) -> list[Action]:
        """Actions with an ex-date in `[first, last]`, in order of it. Errors: BarProviderError."""
        ...


_ALPACA = {  # list of the answer -> kind
    "forward_splits": "split",
    "reverse_splits": "split",
    "unit_splits": "split",
    "stock_dividends": "split",
    "cash_dividends": "dividend",
    "name_changes": "symbol_change",
}


def decode_alpaca_actions(answer: Any, wanted: Iterable[str], provider: str) -> list[Action]:
    """The actions of one page of Alpaca's `/v1/corporate-actions`; what is not known here is kept as `other`."""
    if not isinstance(answer, dict) or not isinstance(answer.get("corporate_actions"), dict):
        raise MalformedAnswer(f"bar provider {provider} answered without `corporate_actions`")
    found, asked = [], set(wanted)
    for group, rows in answer["corporate_actions"].items():
        for place, row in enumerate(rows or []):
            where = f"bar provider {provider}, {group} {place}"
            symbol = _symbol(row, where)
            if symbol in asked:
                found.append(_alpaca_action(group, row, symbol, where))
    return found


def _symbol(row: Any, where: str) -> str:
    said = row.get("symbol") or row.get("old_symbol") or row.get("source_symbol") if isinstance(row, dict) else None
    if not isinstance(said, str):
        raise MalformedAnswer(f"{where}: no symbol")
    return names.canonical(said)


def _alpaca_action(group: str, row: Mapping[str, Any], symbol: str, where: str) -> Action:
    kind = _ALPACA.get(group, "other")
    rate = number(row.get("rate"), f"{where} rate")
    old, new = (number(row.get(f"{name}_rate"), f"{where} {name}_rate") for name in ("old", "new"))
    if group == "stock_dividends" and rate is not None:
        old, new = 1.0, 1.0 + rate
    return Action(
        symbol=symbol,
        kind=kind,
        ex_date=_day(row.get("ex_date") or row.get("process_date"), where),
        old_shares=_positive(old, where) if kind == "split" else None,
        new_shares=_positive(new, where) if kind == "split" else None,
        cash_usd=rate if kind == "dividend" else None,
        new_symbol=row.get("new_symbol") if kind == "symbol_change" else None,
        payable_on=_day(row["payable_date"], where) if row.get("payable_date") else None,
        raw_kind=group,
    )


def decode_eodhd_splits(answer: Any, symbol: str, provider: str) -> list[Action]:
    """EODHD's `/splits`: `[{"date": "2020-08-31", "split": "4.000000/1.000000"}]`, new shares over old ones."""
    found = []
    for place, row in enumerate(_rows(answer, symbol, provider)):
        where = f"bar provider {provider}, split {place} of {symbol}"
        new, _, old = str(row.get("split", "")).partition("/")
        shares = [_positive(number(part, where), where) for part in (old, new)]
        found.append(Action(symbol, "split", _day(row.get("date"), where), shares[0], shares[1], raw_kind="splits"))
    return found


def decode_eodhd_dividends(answer: Any, symbol: str, provider: str) -> list[Action]:
    """EODHD's `/div`: date (ex), declarationDate, paymentDate, value and unadjustedValue per share."""
    found = []
    for place, row in enumerate(_rows(answer, symbol, provider)):
        where = f"bar provider {provider}, dividend {place} of {symbol}"
        cash = row.get("unadjustedValue") if row.get("unadjustedValue") is not None else row.get("value")
        found.append(
            Action(
                symbol,
                "dividend",
                _day(row.get("date"), where),
                cash_usd=number(cash, where),
                declared_on=_day(row["declarationDate"], where) if row.get("declarationDate") else None,
                payable_on=_day(row["paymentDate"], where) if row.get("paymentDate") else None,
                raw_kind="div",
            )
        )
    return found


def _rows(answer: Any, symbol: str, provider: str) -> list[Mapping[str, Any]]:
    if not isinstance(answer, list) or any(not isinstance(row, dict) for row in answer):
        raise MalformedAnswer(f"bar provider {provider} answered for the actions of {symbol} without a list")
    return answer


def read_action_file(folder: Path) -> list[Action]:
    """Rows of `corporate_actions.csv`: symbol, kind, ex_date, and old_shares, new_shares, cash_usd, new_symbol,
    declared_on as far as they apply. None where there is no such file; BarProviderError names the line that is wrong.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    found = []
    with path.open(newline="", encoding="utf-8-sig") as handle:
        for line, row in enumerate(csv.DictReader(handle), 2):
            where = f"{path}, line {line}"
            if not {"symbol", "kind", "ex_date"} <= row.keys() or row["kind"] not in KINDS:
                raise BarProviderError(f"{where}: needs symbol, kind ({', '.join(KINDS)}) and ex_date")
            found.append(_file_action(row, where))
    return found


def _file_action(row: Mapping[str, str | None], where: str) -> Action:
    def told(name: str) -> str | None:
        return (row.get(name) or "").strip() or None

    try:
        symbol = names.canonical(told("symbol") or "")
    except RequestError as error:
        raise BarProviderError(f"{where}: {error}") from None
    is_split = row["kind"] == "split"
    old, new, cash = (number(told(name), f"{where} {name}") for name in ("old_shares", "new_shares", "cash_usd"))
    return Action(
        symbol=symbol,
        kind=str(row["kind"]),
        ex_date=_day(told("ex_date"), where),
        old_shares=_positive(old, where) if is_split else None,
        new_shares=_positive(new, where) if is_split else None,
        cash_usd=cash,
        new_symbol=told("new_symbol"),
        declared_on=_day(told("declared_on"), where) if told("declared_on") else None,
        raw_kind="file",
    )


def _positive(value: float | None, where: str) -> float:
    if value is None or not 0 < value < float("inf"):
        raise MalformedAnswer(f"{where}: {value!r} is no number of shares")
    return value


def _day(value: Any, where: str) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise MalformedAnswer(f"{where}: {value!r} is no date") from None
