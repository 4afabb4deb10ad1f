"""The bars a live loop looks at again and again, held in memory while the cache's file says that nobody changed them.

SQLite tells when another connection has written (`pragma data_version`), the cache tells what it wrote itself: what is
held is the file's answer, never a second truth. At a close only the bars that came since are read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decide.bars.sessions import Ints
from decide.bars.ticks import Flags, Floats

NOTHING = 2**62  # later than any bar
_READ = """
select symbol, ts, open, high, low, close, volume from bars
where symbol in (select value from json_each(?)) and tf = ? and ts between ? and ? and source <> 'provisional'
order by symbol, ts
"""


@dataclass(frozen=True)
class Block:
    """Whole bars of S symbols in `[first, last]`: labels (N,) that any of them has, values (5, S, N): open, high, low,
    close, volume; NaN where a symbol has no bar.
    """

    rows: dict[str, int]
    first: int
    last: int
    labels: Ints
    values: Floats

    def cut(self, symbols: Sequence[str], first: int, last: int) -> tuple[Ints, Floats, Flags]:
        """Labels (N,), values (5, K, N) and which are there (K, N), of `symbols` in `[first, last]`."""
        span = slice(*np.searchsorted(self.labels, [first, last + 1]).tolist())
        values = self.values[:, [self.rows[symbol] for symbol in symbols], span]
        return self.labels[span], values, ~np.isnan(values[0])


class Recent:
    """What was read last of a cache, by length of bar."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._held: dict[str, Block] = {}
        self._stale_from: dict[str, int] = {}
        self._version = -1

    def wrote(self, timeframe: str, labels: Sequence[int]) -> None:
        """Bars at `labels` were written through this connection."""
        self._stale_from[timeframe] = min(self._stale_from.get(timeframe, NOTHING), *labels)

    def block(self, symbols: Sequence[str], first: int, last: int, timeframe: str) -> Block:
        """A block that holds at least these symbols and this span, as the file has it now."""
        version = self._db.execute("pragma data_version").fetchone()[0]
        if version != self._version:
            self._held.clear()
            self._version = version
        held = self._held.get(timeframe)
        stale = self._stale_from.pop(timeframe, NOTHING)
        if held is None or first < held.first or any(symbol not in held.rows for symbol in symbols):
            names = [*(held.rows if held else ()), *symbols]
            rows = {symbol: row for row, symbol in enumerate(dict.fromkeys(names))}
            found = self._read(rows, min(first, held.first) if held else first, last, timeframe)
        else:
            found = self._brought_up(held, min(stale, held.last + 1), max(last, held.last), timeframe)
        self._held[timeframe] = found
        return found

    def _brought_up(self, held: Block, since: int, last: int, timeframe: str) -> Block:
        if since > last:
            return held
        fresh = self._read(held.rows, since, last, timeframe)
        kept = slice(0, int(np.searchsorted(held.labels, since)))
        labels = np.concatenate([held.labels[kept], fresh.labels])
        return Block(held.rows, held.first, last, labels, np.concatenate([held.values[..., kept], fresh.values], 2))

    def _read(self, rows: dict[str, int], first: int, last: int, timeframe: str) -> Block:
        found = self._db.execute(_READ, (json.dumps(list(rows)), timeframe, first, last)).fetchall()
        names, stamps, *prices = list(zip(*found, strict=True)) or [()] * 7
        labels, columns = np.unique(np.array(stamps, np.int64), return_inverse=True)
        values = np.full((5, len(rows), len(labels)), np.nan)
        values[:, [rows[name] for name in names], columns] = np.array(prices, np.float64)
        return Block(rows, first, last, labels, values)
