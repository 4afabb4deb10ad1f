"""The warehouse's own bars as a provider: published parquet, opened for reading only, never a build file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.bars.provider import Answer, Bar, BarProviderError

COLUMNS = ["symbol", "feed", "bar_at", "open", "high", "low", "close", "volume"]


class WarehouseBars:
    """`bars_m5` as it was published, of one feed."""

    def __init__(self, parquet: Path, feed: str) -> None:
        self.name, self.feed, self._path = "warehouse", feed, parquet

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        if timeframe != "M5":
            raise BarProviderError(f"the warehouse has M5 bars, not {timeframe}")
        try:
            with self._path.open("rb") as handle:
                table = pq.read_table(handle, columns=COLUMNS)
        except FileNotFoundError:
            raise BarProviderError(f"there is no {self._path}: run `foreshore build` first") from None
        span = [datetime.fromtimestamp(ts, UTC) for ts in (first, last)]
        within = pc.and_(pc.greater_equal(table["bar_at"], span[0]), pc.less_equal(table["bar_at"], span[1]))
        wanted = pc.and_(pc.equal(table["feed"], self.feed), within)
        found: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
        for row in table.filter(wanted).sort_by("bar_at").to_pylist():
            if row["symbol"] in found:
                open_, high, low, close, volume = (row[name] for name in COLUMNS[3:])
                label = int(row["bar_at"].timestamp())
                found[row["symbol"]].append(Bar(row["symbol"], label, open_, high, low, close, volume))
        return Answer(found)

    async def close(self) -> None:
        """Nothing is held open."""
