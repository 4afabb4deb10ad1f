"""Bars out of a folder of files: which file is whose, and how several of one security join.

A file belongs to the security that its name begins with (`HOOD_5min.csv`, `BRK-A.csv`); with a symbol column its rows
say whose they are. Two files of one security may repeat each other, never contradict. Files are opened for reading
only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import date
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from extract.bars import symbols as names
from extract.bars.actions import FILE as ACTION_FILE
from extract.bars.actions import Action, read_action_file
from extract.bars.provider import SECONDS, Answer, Bar, BarProviderError, UnknownSymbol
from extract.bars.sheets import PRICES, SUFFIXES, Sheet, read_sheet, stem

STRAY_SHARE = 0.01  # of the distances between rows that need not fit a bar's length: off-grid rows occur


class Files:
    """A folder of bar files (or one file). `time_zone`: of times without an offset; `label`: what their time means."""

    def __init__(
        self,
        name: str,
        feed: str,
        path: Path,
        time_zone: str,
        label: str = "open",
        timeframe: str = "M5",
        date_order: str = "",
    ) -> None:
        self.name, self.feed, self.path = name, feed, path
        self.zone, self._shift = ZoneInfo(time_zone), SECONDS[timeframe] if label == "close" else 0
        self._timeframe, self._date_order = timeframe, date_order
        self._sheets: dict[Path, Sheet] = {}
        self._merged: dict[str, list[Bar]] = {}

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        if timeframe != self._timeframe:
            raise BarProviderError(f"bar provider {self.name} has {self._timeframe} bars, not {timeframe}")
        found = {symbol: [b for b in self.bars(symbol) if first <= b.ts <= last] for symbol in symbols}
        return Answer(found, calls=0, bytes=sum(f.stat().st_size for s in symbols for f in self.files(s)))

    def taken_for(self) -> dict[Path, str]:
        """Every bar file that there is, with the security its name stands for."""
        if self.path.is_file():
            return {self.path: names.of_file(stem(self.path))}
        if not self.path.is_dir():
            raise BarProviderError(
                f"bar provider {self.name}: there is no {self.path}; set its `path` in [[bars.providers]]"
            )
        found = sorted(f for f in self.path.iterdir() if f.is_file() and f.name.lower().endswith(SUFFIXES))
        found = [f for f in found if f.name != ACTION_FILE]
        return {f: names.of_file(stem(f)) for f in found}

    def files(self, symbol: str) -> list[Path]:
        """The files of a security, in order of their names; one file alone may hold it in a symbol column."""
        wanted = names.canonical(symbol)
        return [path for path, named in self.taken_for().items() if named == wanted or self._holds(path, wanted)]

    def _holds(self, path: Path, symbol: str) -> bool:
        """Whether the only file there is says by itself that it has rows of `symbol`."""
        if not self.path.is_file():
            return False
        sheet = self._sheet(path, symbol)
        if not sheet.is_named:
            return False
        if symbol not in sheet.bars:
            raise UnknownSymbol(f"{path} has no row of {symbol}: it has {', '.join(sorted(sheet.bars)[:10])}")
        return True

    def bars(self, symbol: str) -> list[Bar]:
        """Every row of a security, from all of its files of this bar length; later files repeat nothing."""
        if symbol not in self._merged:
            self._merged[symbol] = self._merge(symbol)
        return self._merged[symbol]

    def _merge(self, symbol: str) -> list[Bar]:
        wanted, files = names.canonical(symbol), self.files(symbol)
        if not files:
            raise UnknownSymbol(self._no_file(symbol))
        fitting = self._fitting(files, wanted)
        held: dict[int, tuple[Bar, Path]] = {}
        found = list[Bar]()
        for path in fitting:
            mine, rows = dict[int, tuple[Bar, Path]](), self._of(path, wanted)
            for bar in rows:
                other = held.get(bar.ts)
                if other is None:
                    found.append(bar)
                    mine[bar.ts] = bar, path
                elif _values(other[0]) != _values(bar):
                    raise BarProviderError(_contradiction(symbol, *other, bar, path))
            held |= mine
        return [msgspec.structs.replace(bar, symbol=symbol) for bar in found]

    def _of(self, path: Path, symbol: str) -> Sequence[Bar]:
        sheet = self._sheet(path, symbol)
        if symbol not in sheet.bars:
            told = f": it has {', '.join(sorted(sheet.bars)[:10])}" if sheet.bars else ": it has no rows"
            raise UnknownSymbol(f"{path} has no row of {symbol}{told}")
        return sheet.bars[symbol]

    def _fitting(self, files: Sequence[Path], symbol: str) -> list[Path]:
        """The files of this provider's bar length: as their rows say, or their name where the rows cannot."""
        wanted = SECONDS[self._timeframe]
        steps = {path: step_of([bar.ts for bar in self._of(path, symbol)]) for path in files}
        hints = {path: names.timeframe_of(stem(path)) for path in files}
        fits = {}
        for path, step in steps.items():
            if step is None:  # one bar: its name tells, or that there is nothing beside it
                fits[path] = hints[path] == wanted or (hints[path] is None and len(files) == 1)
            else:
                fits[path] = step == wanted or (step % wanted == 0 and hints[path] == wanted)
        found = [path for path in files if fits[path]]
        if not found:
            path = files[0]
            told = f"has a bar every {steps[path]} s" if steps[path] else "has one bar, which does not tell its length"
            raise BarProviderError(
                f"bar provider {self.name}: {path} {told}, not {self._timeframe} bars (name it "
                f"{symbol}_{wanted // 60}min.csv if they are)"
            )
        return found

    def _no_file(self, symbol: str) -> str:
        told = "; ".join(f"{path.name} is taken for {named or 'nobody'}" for path, named in self.taken_for().items())
        return f"bar provider {self.name} has no file for {symbol} in {self.path} (e.g. {symbol}.csv)" + (
            f". There is: {told[:400]}" if told else ""
        )

    def _sheet(self, path: Path, symbol: str) -> Sheet:
        if path not in self._sheets:
            self._sheets[path] = read_sheet(path, self.zone, self._shift, self._date_order)
        return self._sheets[path]

    def is_zoned(self, symbol: str) -> bool:
        """Whether the times of its files say their zone by themselves."""
        return all(self._sheet(path, symbol).is_zoned for path in self.files(symbol))

    def reach(self, symbol: str) -> tuple[int, int]:
        """From the first bar's open to the last one's close: a file says nothing about what lies outside."""
        labels = [bar.ts for bar in self.bars(symbol)]
        return min(labels), max(labels) + SECONDS[self._timeframe]

    def content(self, symbol: str, first: int, last: int) -> str:
        """A hash of the rows in `[first, last]` and of the actions: where it changed, they are landed anew."""
        rows = [bar for bar in self.bars(symbol) if first <= bar.ts <= last]
        folder = self.path.parent if self.path.is_file() else self.path
        told = [action for action in read_action_file(folder) if action.symbol == names.canonical(symbol)]
        return hashlib.sha256(msgspec.json.encode([rows, told])).hexdigest()

    async def actions(self, symbols: Sequence[str], first: date, last: date) -> list[Action]:
        """Rows of `corporate_actions.csv` beside the bars, where it is there."""
        wanted = {names.canonical(symbol) for symbol in symbols}
        folder = self.path.parent if self.path.is_file() else self.path
        found = [a for a in read_action_file(folder) if a.symbol in wanted and first <= a.ex_date <= last]
        return sorted(found, key=lambda action: (action.ex_date, action.kind))

    def share(self, among: int) -> None:
        """Nobody limits how a file is read."""

    async def close(self) -> None:
        self._sheets.clear()
        self._merged.clear()


def _values(bar: Bar) -> tuple[Any, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


def _contradiction(symbol: str, one: Bar, of: Path, other: Bar, than: Path) -> str:
    name, a, b = next(
        (n, getattr(one, n), getattr(other, n)) for n in (*PRICES, "volume") if getattr(one, n) != getattr(other, n)
    )
    return (
        f"{of} and {than} contradict each other: the bar of {symbol} at {one.raw_time} has a {name} of {a} and of {b}. "
        "If one is adjusted and one is not, keep them in folders of their own, each with a provider and a feed"
    )


def step_of(labels: Sequence[int]) -> int | None:
    """The length of the bars: the largest step that all but a few strays fit into, in seconds; None for one bar.

    Not the most frequent step: a thinly traded symbol has more holes than neighbours.
    """
    steps = [later - earlier for earlier, later in pairwise(sorted(set(labels)))]
    if not steps:
        return None
    whole = reduce(math.gcd, steps)
    strays = int(len(steps) * STRAY_SHARE)
    if not strays:
        return whole
    sizes = np.array(steps)
    common = sorted({step for step in steps if step > whole}, reverse=True)
    fits = [step for step in common if int((sizes % step != 0).sum()) <= strays]
    return max(fits, default=whole)
