"""Bars made by hand and by chance, on real session times."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from decide.bars.bars import Bars
from decide.bars.rules import Rules
from decide.bars.run import BarStrategy, bar_strategies
from decide.bars.sessions import Sessions

ROOT = Path(__file__).parents[1]
STEP = 300


def seconds(text: str) -> int:
    """Unix seconds of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


# Mon 2025-10-27 (summer time), Thu 2025-11-27 is closed, Fri 28 closes early, Mon 2025-12-01 (winter time)
SESSIONS = Sessions(
    np.array(
        [
            seconds(t)
            for t in (
                "2025-10-27T13:30",
                "2025-10-28T13:30",
                "2025-11-26T14:30",
                "2025-11-28T14:30",
                "2025-12-01T14:30",
            )
        ]
    ),
    np.array(
        [
            seconds(t)
            for t in (
                "2025-10-27T20:00",
                "2025-10-28T20:00",
                "2025-11-26T21:00",
                "2025-11-28T18:00",
                "2025-12-01T21:00",
            )
        ]
    ),
)


def seed_rows() -> list[dict[str, str]]:
    """Rows of seeds/bars/bar_strategies.csv."""
    with (ROOT / "seeds" / "bars" / "bar_strategies.csv").open() as handle:
        return list(csv.DictReader(handle))


def recorded(**changes: Any) -> BarStrategy:
    """The seed's first strategy with parameters changed."""
    first = seed_rows()[0]["strategy_key"]
    rows = [row for row in seed_rows() if row["strategy_key"] == first]
    rows = [{**row, "value": str(changes.pop(row["parameter"], row["value"]))} for row in rows]
    assert not changes, changes
    return bar_strategies(rows)[0]


def rules(**changes: Any) -> Rules:
    return recorded(**changes).rules


def make_bars(labels: Sequence[int], rows: Sequence[tuple[float, float, float, float]]) -> Bars:
    """Bars from (open, high, low, close)."""
    values = np.asarray(rows, dtype=float).reshape(-1, 4)
    names = ("open", "high", "low", "close")
    columns = {name: values[:, place] for place, name in enumerate(names)}
    return Bars.of({"label": labels, **columns, "volume": np.full(len(values), 100.0)})


def walk(labels: Sequence[int], seed: int, tick: float = 0.05) -> Bars:
    """A random walk on a coarse price grid, so that ties and inside bars are common."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-8, 9, size=(len(labels), 4)) * tick
    close = 100 + np.cumsum(steps[:, 0] / 4).round(2)
    opened = np.r_[100.0, close[:-1]] + steps[:, 3] / 4
    width = np.abs(steps[:, 1:3])
    high, low = np.maximum(opened, close) + width[:, 0], np.minimum(opened, close) - width[:, 1]
    prices = {"open": opened, "high": high, "low": low, "close": close}
    return Bars.of({"label": labels, **{k: v.round(2) for k, v in prices.items()}, "volume": np.ones(len(labels))})


def as_columns(bars: Bars) -> dict[str, Any]:
    """A run's input from bars."""
    return {name.rstrip("s") if name == "labels" else name: getattr(bars, name) for name in vars(bars)}


def any_rules() -> st.SearchStrategy[Rules]:
    """Every choice of the strategy, in every combination."""
    changes: Mapping[str, st.SearchStrategy[Any]] = {
        "inside_bar_definition_mode": st.sampled_from(
            ["mb_range_hl__ib_hl", "mb_body_oc__ib_hl", "mb_body_oc__ib_body", "mb_high__ib_high_and_close_in_mb_range"]
        ),
        "inside_bar_mode": st.sampled_from(["inclusive", "strict"]),
        "atr_period": st.integers(1, 20),
        "min_mother_bar_size_atr_multiple": st.sampled_from([0, 0.5, 1.0]),
        "min_mother_body_fraction": st.sampled_from([0, 0.3]),
        "min_inside_body_fraction": st.sampled_from([0, 0.2]),
        "entry_level_mode": st.sampled_from(["mother_bar", "inside_bar"]),
        "require_close_beyond_mother": st.booleans(),
        "first_inside_bar_only": st.booleans(),
        "max_pattern_age_candles": st.integers(1, 15),
        "max_deviation_atr": st.sampled_from([0, 1, 3]),
        "session_filter": st.sampled_from(["09:30-11:00 14:00-15:00", "09:30-16:00", "10:00-10:20"]),
        "order_validity_policy": st.sampled_from(["session_end", "one_bar", "fixed_minutes"]),
        "order_validity_minutes": st.sampled_from([10, 45]),
        "entry_legs": st.sampled_from(["breakout", "breakout", "both_sides"]),
    }
    return st.fixed_dictionaries(changes).map(lambda made: rules(**made))
