"""Bar runs of an earlier build: taken over bit for bit while their bars, sessions, parameters and code are the same."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from decide.bars import tables
from decide.bars.tables import bar_run_tables
from tests.bar_fixtures import seed_rows

FIRST = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=n) for n in range(12) if (FIRST + timedelta(days=n)).weekday() < 5]
CONSTANTS = {"bootstrap_level": 0.9, "bootstrap_draws": 50, "bootstrap_seed": 1}
CONSTANTS |= {"split_jump_least_ratio": 1.45, "split_jump_tolerance": 0.06}
KEYS = len({row["strategy_key"] for row in seed_rows()})
LEVEL = [{"threshold": name, "value": value} for name, value in CONSTANTS.items()]


def calendar(days: list[datetime] = DAYS) -> list[dict[str, Any]]:
    length = timedelta(hours=6, minutes=30)
    return [{"date": str(d.date()), "open_utc": d.isoformat(), "close_utc": (d + length).isoformat()} for d in days]


def bars(symbols: tuple[str, ...] = ("AAA", "BBB"), changed: str | None = None) -> pa.Table:
    """M5 bars of all sessions, a walk for each symbol; one bar of `changed` is another."""
    rows = []
    for symbol in symbols:
        chance = np.random.default_rng(sum(symbol.encode()))
        price = 100.0
        for day in DAYS:
            for n in range(78):
                close = price + chance.normal(0, 0.2)
                row = {"open": price, "high": max(price, close) + 0.1, "low": min(price, close) - 0.1, "close": close}
                rows.append(
                    row | {"symbol": symbol, "feed": "f", "volume": 1.0, "bar_at": day + n * timedelta(minutes=5)}
                )
                price = close
        if symbol == changed:
            rows[-1]["close"] += 0.01
    return pa.Table.from_pylist(rows)


def runs(m5: pa.Table, kept: pa.Table | None = None, days: list[datetime] = DAYS, **changes: Any) -> pa.Table:
    seed = [row | {"value": changes[row["parameter"]]} if row["parameter"] in changes else row for row in seed_rows()]
    return bar_run_tables(m5, m5.slice(0, 0), seed, (calendar(days), []), LEVEL, kept=kept, code="1")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    found: Counter[str] = Counter()
    inner = tables._row

    def row(series: tuple[str, str], *rest: Any) -> dict[str, Any]:
        found[series[0]] += 1
        return inner(series, *rest)

    monkeypatch.setattr(tables, "_row", row)
    return found


def test_a_run_is_made_once_and_again_only_for_what_it_rests_on(counted: Counter[str]) -> None:
    first = runs(bars())
    assert first.num_rows == 2 * KEYS and {row["run_status"] for row in first.to_pylist()} == {"SUCCESS"}
    assert sum(row["signal_count"] for row in first.to_pylist()) > 0
    counted.clear()
    assert runs(bars(), first).equals(first) and not counted
    later = [*DAYS, DAYS[-1] + timedelta(days=3)]
    assert runs(bars(), first, later).equals(first) and not counted, "a session that no bar has reached"
    changed = runs(bars(changed="BBB"), first)
    assert counted == {"BBB": KEYS} and changed.equals(runs(bars(changed="BBB")))
    counted.clear()
    assert runs(bars(("AAA", "BBB", "CCC")), first).num_rows == 3 * KEYS and counted == {"CCC": KEYS}
    counted.clear()
    assert runs(bars(), first, slippage_bps="9").equals(runs(bars(), slippage_bps="9"))
    assert counted == {"AAA": 2 * KEYS, "BBB": 2 * KEYS}, "made anew, and once more from nothing"


def test_a_damaged_run_is_made_anew(counted: Counter[str]) -> None:
    first = runs(bars())
    rows = first.to_pylist()
    rows[0]["signals"][0]["fill_price"] = 1.0
    counted.clear()
    assert runs(bars(), pa.Table.from_pylist(rows, schema=first.schema)).equals(first) and counted == {"AAA": 1}
