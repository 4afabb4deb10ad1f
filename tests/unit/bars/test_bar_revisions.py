"""What a correction changed, against whole backtests of the series as it was and as it is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decide.bars.revised import SCHEMA, revision_effects
from decide.bars.tables import bar_run_tables
from tests.bar_fixtures import seed_rows
from tests.unit.bars.test_runs_once import LEVEL, bars, calendar

PRICES = ("open", "high", "low", "close")
AFTER = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
Row = dict[str, Any]


def other(row: Row, chance: np.random.Generator, size: float = 0.4) -> Row:
    """The same bar with other prices."""
    opened, close = (row[name] + chance.normal(0, size) for name in ("open", "close"))
    high, low = max(opened, close) + abs(chance.normal(0, size)), min(opened, close) - abs(chance.normal(0, size))
    return row | dict(zip(PRICES, np.round([opened, high, low, close], 2).tolist(), strict=True))


def revision(old: Row, new: Row, number: int, at: datetime = AFTER, **facts: str) -> Row:
    row: Row = {"symbol": new["symbol"], "feed": "f", "bar_at": new["bar_at"], "revision_number": number}
    row |= {"revised_at": at, "revised_by": "p", "revision_outcome": "replaced"} | facts
    return row | {f"{age}_{n}": bar[n] for age, bar in (("old", old), ("new", new)) for n in PRICES}


def signals(rows: list[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(rules, trigger, side) -> levels, from whole backtests."""
    table = bar_run_tables(pa.Table.from_pylist(rows), pa.Table.from_pylist(rows).slice(0, 0), m5_rules(), CAL, LEVEL)
    return {
        (run["rules_hash"], s["trigger_at"], s["side"]): (s["entry_price"], s["stop_price"], s["take_profit_price"])
        for run in table.to_pylist()
        for s in run["signals"]
    }


CAL = (calendar(), [])


def m5_rules() -> list[Row]:
    """The seed's strategies on five-minute bars."""
    long = {r["strategy_key"] for r in seed_rows() if (r["parameter"], r["value"]) == ("timeframe_minutes", "15")}
    return [row for row in seed_rows() if row["strategy_key"] not in long]


def effects(today: list[Row], revisions: list[Row], **given: Any) -> list[Row]:
    table = pa.Table.from_pylist(today)
    found = revision_effects(table, pa.Table.from_pylist(revisions), m5_rules(), CAL, LEVEL, **given)
    assert found.schema == SCHEMA
    return list(found.to_pylist())


def _levels(row: Row, age: str) -> tuple[float, ...] | None:
    found = tuple(row[f"{age}_{name}"] for name in ("entry_price", "stop_price", "take_profit_price"))
    return None if found[0] is None else found


def told(rows: list[Row]) -> dict[tuple[Any, ...], tuple[Any, Any]]:
    return {(r["rules_hash"], r["trigger_at"], r["side"]): (_levels(r, "old"), _levels(r, "new")) for r in rows}


@pytest.mark.parametrize("seed", range(8))
def test_effects_are_the_difference_of_two_whole_backtests(seed: int) -> None:
    """Bars across sessions, corrected at once; the first session is warm-up, in the mart as here."""
    chance = np.random.default_rng(seed)
    today = bars(("AAA",)).to_pylist()
    places = sorted(chance.choice(np.arange(100, len(today)), size=25, replace=False).tolist())
    before = list(today)
    for place in places:
        before[place] = other(today[place], chance)
    found = effects(today, [revision(before[n], today[n], 1) for n in places])
    old, new = signals(before), signals(today)
    wanted = {k: (old.get(k), new.get(k)) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
    assert told([r for r in found if _levels(r, "old") != _levels(r, "new")]) == wanted and len(wanted) > 3
    assert {r["signal_effect"] for r in found} <= {"gone", "new", "moved"}
    assert {r["revised_bar_count"] for r in found} == {25}


def test_corrections_one_after_the_other_each_have_their_own_share() -> None:
    """A bar corrected twice, another between: each step is held against the step before, not against today."""
    chance = np.random.default_rng(3)
    last = bars(("AAA",)).to_pylist()
    places = [range(200, 220, 2), range(205, 240), range(200, 220, 2)]  # one, another, and the first again
    steps = [last]
    for mine in reversed(places):
        steps.insert(0, [other(row, chance) if n in mine else row for n, row in enumerate(steps[0])])
    rows = [
        revision(steps[n][place], steps[n + 1][place], 1 + n, AFTER + timedelta(hours=n))
        for n, mine in enumerate(places)
        for place in mine
    ]
    found = effects(last, rows)
    for n in range(3):
        mine = [r for r in found if r["revised_at"] == AFTER + timedelta(hours=n)]
        old, new = signals(steps[n]), signals(steps[n + 1])
        wanted = {k: (old.get(k), new.get(k)) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
        assert told([r for r in mine if _levels(r, "old") != _levels(r, "new")]) == wanted and wanted


def test_a_value_that_is_no_bar_is_no_bar_and_a_refused_one_is_held_against_what_stands() -> None:
    chance = np.random.default_rng(5)
    today = bars(("AAA",)).to_pylist()
    impossible = today[150] | {"high": today[150]["low"] - 1}
    found = effects(today, [revision(impossible, today[150], 1)])
    old = signals([*today[:150], *today[151:]])
    new = signals(today)
    kept = {k for k in new if k not in old}
    assert {k for k, (_, after) in told(found).items() if after} >= kept
    refused = [revision(today[n], other(today[n], chance, 1.0), 1, revision_outcome="refused") for n in range(200, 230)]
    found = effects(today, refused)
    assert found and {r["revision_outcome"] for r in found} == {"refused"}
    assert all(told(found)[k][0] == new.get(k) for k in told(found)), "what stands is the old side"


def test_what_changes_no_signal_has_no_row() -> None:
    today = bars(("AAA",)).to_pylist()
    assert effects(today, [revision(today[150], today[150], 1)]) == []
    elsewhere = today[150] | {"bar_at": today[150]["bar_at"] - timedelta(hours=12)}
    assert effects(today, [revision(elsewhere, elsewhere | {"close": 1.0, "low": 0.5}, 1)]) == [], "outside a session"
