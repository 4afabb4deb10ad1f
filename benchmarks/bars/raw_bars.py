"""Raw rows of synthetic five-minute bars, landed as the extractor lands them: a load per symbol and 580 days."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from benchmarks.common import FOLDER
from extract.bars.days import session_spans, settled_span
from extract.bars.run import DAYS_PER_JOB
from extract.bars.tables import BAR_TABLES, BARS, REQUESTS
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, declare, ledger_table

FIRST = date(2022, 1, 3)
M5 = 300
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCALE = 100  # prices move in cents


def sessions(count: int) -> dict[date, tuple[datetime, datetime]]:
    """Opens and closes of the first `count` sessions."""
    known = session_spans(FOLDER.parent / "seeds")
    return dict([(day, edges) for day, edges in known.items() if day >= FIRST][:count])


def land_bars(url: str, symbols: int, days: int, first: int = 0) -> int:
    """Land `symbols` symbols from number `first` on x `days` sessions; returns how many bars."""
    lake, spans, rows = Lake(url), sessions(days), 0
    declare(lake, BAR_TABLES)
    chance = np.random.default_rng(7)
    whole = settled_span({day: close for day, (_, close) in spans.items()}, min(spans), max(spans), NOW, 0)
    months = list(whole.months())
    jobs = list(dict.fromkeys((date.fromisoformat(f"{name}-01") - FIRST).days // DAYS_PER_JOB for name, _ in months))
    for number in range(first, first + symbols):
        symbol = f"S{number:03d}"
        for job in jobs:
            tables: dict[str, list[pa.Table]] = {name: [] for name in BAR_TABLES}
            ledger = []
            for name, span in months:
                if (date.fromisoformat(f"{name}-01") - FIRST).days // DAYS_PER_JOB != job:
                    continue
                inside = {day: edge for day, edge in spans.items() if span.first <= day <= span.last}
                partition = Partition("bars", "m5", f"synthetic/{symbol}", name)
                key = {"partition_id": partition.partition_id, "provider": "synthetic", "feed": "sip"}
                key |= {"symbol": symbol, "timeframe": "M5"}
                made = _bars(chance, key, list(inside.values()))
                tables["bars"].append(made)
                request = {"from_date": span.first, "to_date": span.last, "row_count": made.num_rows}
                request |= {"reach_from": None, "reach_until": None, "actions_status": None, "fetched_at": NOW}
                tables["bar_requests"].append(pa.Table.from_pylist([key | request], schema=REQUESTS))
                ledger.append(
                    LedgerRow(partition, COMPLETE, "synthetic", "bench", NOW, NOW, rows=made.num_rows, calls=1)
                )
                rows += made.num_rows
            landed = {name: pa.concat_tables(of) for name, of in tables.items() if of}
            land(lake, "bars", {**landed, LEDGER_TABLE: ledger_table(ledger)})
    return rows


def _bars(chance: np.random.Generator, key: dict[str, str], edges: list[tuple[datetime, datetime]]) -> pa.Table:
    """A month of one symbol: a walk in cents, every slot filled."""
    slots = [np.arange(int(opens.timestamp()), int(closes.timestamp()), M5) for opens, closes in edges]
    times = np.concatenate(slots)
    count = len(times)
    close = np.maximum(5_000 + np.cumsum(chance.integers(-12, 13, count)), 500)
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) + chance.integers(0, 9, count)
    low = np.minimum(opened, close) - chance.integers(0, 9, count)
    prices = {"open": opened, "high": high, "low": low, "close": close, "vwap": close}
    columns = {
        **{name: pa.array([value] * count) for name, value in key.items()},
        "bar_at": pa.array(times * 1_000_000, pa.timestamp("us", "UTC")),
        "position": pa.array(np.arange(count)),
        "raw_time": pa.array(times.astype(str)),
        **{name: pa.array(values / SCALE) for name, values in prices.items()},
        "volume": pa.array(chance.integers(100, 90_000, count).astype(float)),
        "trade_count": pa.array(chance.integers(1, 900, count)),
        "fetched_at": pa.array([NOW] * count, pa.timestamp("us", "UTC")),
    }
    return pa.table({name: columns[name] for name in BARS.names}, schema=BARS)
