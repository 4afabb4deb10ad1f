"""A second way to each number: what a day's events moved, against what the state changed by between its two ends.

An event that a provider dropped, or a balance of another block, leaves a difference that nothing explains. `held` rows
hold the books of a whole contract (Morpho's collateral, which is known from logs alone) against the tokens it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from extract.lending.families import FAMILIES
from extract.lending.families.base import COLLATERAL, MOVE, NOT_DEPLOYED, OK, Reserve, State
from extract.lending.liquidations import occurrences
from extract.lending.registry import Csu

FLOW, HELD = "flow", "held"


@dataclass
class Moved:
    """What events did to one reserve: raw units in and out, and how many there were."""

    inward: int = 0
    outward: int = 0
    events: int = 0

    def take(self, amount: int) -> None:
        self.events += 1
        if amount >= 0:
            self.inward += amount
        else:
            self.outward -= amount


@dataclass
class Heard:
    """All movements of a CSU in a day by reserve, and its events that nobody could decode."""

    moved: dict[str, Moved] = field(default_factory=lambda: defaultdict(Moved))
    undecoded: int = 0


def hear(logs: pa.Table, csu: Csu, state: State) -> Heard:
    """Sum up the events of a CSU (LOG_SCHEMA, of its emitters). Pure."""
    family, heard = FAMILIES[csu.family], Heard()
    for one in occurrences(logs, family):
        if one.values is None:
            heard.undecoded += 1
            continue
        for movement in family.moved(one.rule.name, one.values, one.log["address"], state):
            heard.moved[movement.reserve_id].take(movement.amount)
    return heard


def flow_rows(csu: Csu, opening: State, closing: State, heard: Heard) -> list[dict[str, Any]]:
    """FLOWS columns per reserve that the family's events account for. Pure.

    A reserve that was not there at the opening held nothing then; one that could not be read is a null.
    """
    if not any(rule.kind == MOVE for rule in FAMILIES[csu.family].events):
        return []
    before = {r.reserve_id: r for r in opening.reserves}
    after = {r.reserve_id: r for r in closing.reserves}
    rounding = FAMILIES[csu.family].rounding
    rows = []
    for name in dict.fromkeys((*after, *before)):
        reserve = after.get(name) or before[name]
        if not (_is_counted(after.get(name)) and _is_counted(before.get(name))):
            continue
        of = heard.moved.get(name, Moved())
        ends = _counted(opening, before.get(name)), _counted(closing, after.get(name))
        rows.append(_row(reserve, FLOW, ends, of, rounding * of.events) | {"undecoded_count": heard.undecoded})
    return rows + [row | {"undecoded_count": heard.undecoded} for row in _held_rows(closing)]


def _is_counted(reserve: Reserve | None) -> bool:
    """Whether the family's events account for a reserve: not for what is minted, nor in families without events."""
    return reserve is None or reserve.counted is not None or reserve.status != OK


def _counted(state: State, reserve: Reserve | None) -> int | None:
    if reserve is not None:
        return reserve.counted
    return 0 if state.status in (OK, NOT_DEPLOYED) else None


def _row(
    reserve: Reserve, measure: str, ends: tuple[int | None, int | None], of: Moved, rounding: int
) -> dict[str, Any]:
    opening, closing = ends
    known = opening is not None and closing is not None
    return {
        "reserve_id": reserve.reserve_id,
        "asset_address": reserve.asset,
        "measure": measure,
        "opening_raw": None if opening is None else str(opening),
        "closing_raw": None if closing is None else str(closing),
        "moved_in_raw": str(of.inward),
        "moved_out_raw": str(of.outward),
        "difference_raw": str((closing or 0) - (opening or 0) - of.inward + of.outward) if known else None,
        "rounding_raw": str(rounding),
        "is_book": reserve.is_book,
        "event_count": of.events,
    }


def _held_rows(state: State) -> list[dict[str, Any]]:
    """Per token: what the books say that stands in the contract, and what does. Only where the books are from logs."""
    if not state.balances:
        return []
    books: dict[str, int | None] = {}
    for reserve in state.reserves:
        if reserve.asset is not None:
            so_far = books.get(reserve.asset, 0)
            amount = reserve.supplied if reserve.role == COLLATERAL else reserve.counted
            books[reserve.asset] = None if so_far is None or amount is None else so_far + amount
    return [
        _row(Reserve(f"held:{asset}", asset, is_book=False), HELD, (books.get(asset), held), Moved(), 0)
        for asset, held in sorted(state.balances.items())
    ]


def union(opening: State, closing: State) -> dict[str, Mapping[str, Any]]:
    """The contracts that may have logged in a day: those of its either end."""
    return {**opening.emitters, **closing.emitters}
