"""Whatever a record holds: a typed market or a named reason; a result only from the three facts together."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from extract.markets.client import batches, history_windows
from extract.markets.fields import Malformed
from extract.markets.normalize import normalize_market
from extract.markets.resolve import classify
from extract.markets.tables import MARKETS, RESOLUTIONS
from tests.polymarket_fixtures import a_record, ended

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ALSO = {"lastTradePrice": 0.1, "volumeNum": 1, "oneWeekPriceChange": 0.1, "startDate": "2026-01-01T00:00:00Z"}
ALSO |= {"negRisk": True, "negRiskMarketID": "0x1", "negRiskOther": False, "groupItemTitle": "A", "feeSchedule": {}}
ALSO |= {"feesEnabled": True, "acceptingOrders": True, "description": "d"}
ABSENT = ("positionIds", "updatedAt", "closedTime", "umaEndDate", "umaResolutionStatus", "category")
FULL = a_record(**ALSO, **dict.fromkeys(ABSENT))
CLOCKS = {"observed_at": datetime(2026, 1, 5, tzinfo=UTC), "fetched_at": datetime(2026, 1, 5, tzinfo=UTC)}
KEY = {"partition_id": "p", "run_date": CLOCKS["observed_at"].date(), "window_days": 7}


@given(name=st.sampled_from(sorted(FULL)), value=ANYTHING | ANYTHING.map(lambda v: json.dumps(v, default=str)))
def test_one_field_of_anything_gives_a_row_of_the_schema_or_a_reason(name: str, value: Any) -> None:
    record = FULL | {name: value}
    try:
        row = normalize_market(record)
    except Malformed as why:
        assert why.reason and why.detail
    else:
        table = pa.Table.from_pylist([row | KEY | CLOCKS], schema=MARKETS)
        made = table.to_pylist()[0]
        assert len(made["outcomes"]) == len(made["token_ids"]) == 2 and 0 <= made["price"] <= 1
        assert all(v is None or math.isfinite(v) for v in made.values() if isinstance(v, float))
    told = classify(record)
    assert told["status"] == "undetermined"  # nothing but an ended market is ever resolved
    stamp = {"partition_id": "p", "market_id": "1", "body": "", **CLOCKS}
    assert pa.Table.from_pylist([told | stamp], schema=RESOLUTIONS).num_rows == 1


@given(
    closed=st.booleans(),
    statuses=st.lists(st.sampled_from(["proposed", "disputed", "resolved", "settled"]), max_size=4),
    first=st.sampled_from(["0", "1", "0.5", "0.999", "1.0", "0.50", "1e-9", "0.99999999999999999999"]),
    second=st.sampled_from(["0", "1", "0.5", "0.001", "0.0", "5e-1", "1"]),
)
def test_resolved_is_the_conjunction_and_nothing_else(
    closed: bool, statuses: list[str], first: str, second: str
) -> None:
    row = classify(ended([first, second], *statuses, closed=closed))
    is_final = closed and statuses[-1:] == ["resolved"]
    pair = (Decimal(first), Decimal(second))
    expected = "resolved" if pair in ((1, 0), (0, 1)) else "void" if pair == (Decimal("0.5"),) * 2 else "undetermined"
    assert row["status"] == (expected if is_final else "undetermined")
    assert row["label"] == (int(pair[0]) if row["status"] == "resolved" else None)


@given(days=st.floats(0, 100), start=st.integers(0, 10**9))
def test_history_windows_cover_without_gap_and_fit_the_limit(days: float, start: int) -> None:
    since = datetime.fromtimestamp(start, UTC)
    windows = history_windows(since, since + timedelta(days=days))
    assert all(timedelta(0) < b - a <= timedelta(days=15) for a, b in windows)
    assert [b for _, b in windows[:-1]] == [a for a, _ in windows[1:]]
    assert not windows or (windows[0][0], windows[-1][1]) == (since, since + timedelta(days=days))


@given(names=st.lists(st.integers(0, 500).map(str)), size=st.integers(1, 50))
def test_batches_are_the_same_for_the_same_ids(names: list[str], size: int) -> None:
    made = batches(names, size)
    assert made == batches(reversed(names), size)
    assert sorted(name for part in made for name in part) == sorted(set(names))
    assert all(0 < len(part) <= size for part in made)
