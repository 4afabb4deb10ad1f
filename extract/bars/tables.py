"""The raw tables of the bar line. Every row a provider sent is kept, outside the session too; staging sorts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from extract.bars.actions import Action
from extract.bars.provider import Bar

_UTC = pa.timestamp("us", "UTC")
_KEY = [
    pa.field("partition_id", pa.string(), nullable=False),
    pa.field("provider", pa.string(), nullable=False),
    pa.field("feed", pa.string(), nullable=False),
    pa.field("symbol", pa.string(), nullable=False),
    pa.field("timeframe", pa.string(), nullable=False),
]

BARS = pa.schema(
    [
        *_KEY,
        pa.field("bar_at", _UTC, nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("raw_time", pa.string(), nullable=False),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("trade_count", pa.int64()),
        pa.field("vwap", pa.float64()),
        pa.field("fetched_at", _UTC, nullable=False),
    ]
)

REQUESTS = pa.schema(
    [
        *_KEY,
        pa.field("from_date", pa.date32(), nullable=False),
        pa.field("to_date", pa.date32(), nullable=False),
        pa.field("reach_from", _UTC),
        pa.field("reach_until", _UTC),
        pa.field("row_count", pa.int64(), nullable=False),
        pa.field("actions_status", pa.string()),
        pa.field("fetched_at", _UTC, nullable=False),
    ]
)

ACTIONS = pa.schema(
    [
        *(field for field in _KEY if field.name != "timeframe"),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("raw_kind", pa.string(), nullable=False),
        pa.field("ex_date", pa.date32(), nullable=False),
        pa.field("old_shares", pa.float64()),
        pa.field("new_shares", pa.float64()),
        pa.field("cash_usd", pa.float64()),
        pa.field("new_symbol", pa.string()),
        pa.field("declared_on", pa.date32()),
        pa.field("payable_on", pa.date32()),
        pa.field("fetched_at", _UTC, nullable=False),
    ]
)

BAR_TABLES = {"bars": BARS, "bar_requests": REQUESTS, "bar_actions": ACTIONS}


def action_table(key: dict[str, str], actions: Sequence[Action], fetched_at: datetime) -> pa.Table:
    """Rows of `actions` in their order under one partition's key."""
    shared = {name: value for name, value in key.items() if name != "timeframe"}
    rows = [
        {**shared, "position": place, **{name: getattr(action, name) for name in _ACTION}, "fetched_at": fetched_at}
        for place, action in enumerate(actions)
    ]
    return pa.Table.from_pylist(rows, schema=ACTIONS)


_ACTION = tuple(ACTIONS.names[5:-1])


def bar_table(key: dict[str, str], bars: Sequence[Bar], fetched_at: datetime) -> pa.Table:
    """Rows of `bars` in the provider's order under one partition's key."""
    count = len(bars)
    columns = {
        **{name: [value] * count for name, value in key.items()},
        "bar_at": [datetime.fromtimestamp(bar.ts, UTC) for bar in bars],
        "position": range(count),
        **{n: [getattr(b, n) for b in bars] for n in ("raw_time", "open", "high", "low", "close", "volume")},
        **{name: [getattr(bar, name) for bar in bars] for name in ("trade_count", "vwap")},
        "fetched_at": [fetched_at] * count,
    }
    return pa.table({name: pa.array(columns[name], BARS.field(name).type) for name in BARS.names}, schema=BARS)
