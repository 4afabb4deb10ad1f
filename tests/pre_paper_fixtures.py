"""A session to run pre-paper on: bars by chance, a provider that has them, their minutes as a stream, a promotion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from decide.bars.backtest import Resampling
from decide.bars.bars import Bars
from decide.bars.inside_bar import find_signals
from decide.bars.orders import Signal
from decide.bars.rules import trade_windows
from decide.bars.run import BarResult, BarStrategy, run_bar_backtest, span_of
from decide.bars.sessions import Sessions
from decide.bars.tables import rules_hash
from extract.bars.alpaca_socket import Joined, LiveEvent, Lost, Minute
from extract.bars.config import BarSource
from extract.bars.provider import Answer, Bar, ProviderDown
from operate.bars.artifacts import json_bytes, sha256, write_folder
from operate.bars.backtest import run_files
from operate.bars.manifest import Promotion, build_manifest
from operate.bars.pre_paper.cache import BarCache
from operate.bars.pre_paper.folder import CHECKS, SIGNALS, RunFolder, read_lines
from operate.bars.pre_paper.run import Asked, Plan, trade_session
from tests.bar_fixtures import SESSIONS, STEP, as_columns, recorded, walk

DAY = 1  # of SESSIONS: Tue 2025-10-28, a full day with a full day before it
FEED = "test"
HOW = Resampling(0.9, 100, 1)


def busy(**changes: Any) -> BarStrategy:
    """A strategy that signals often enough for one day to say something."""
    often = {"session_filter": "09:30-16:00", "first_inside_bar_only": "false", "max_pattern_age_candles": 6}
    often |= {"require_close_beyond_mother": "false", "entry_level_mode": "inside_bar"}
    return recorded(**{**often, **changes})


def day_bars(seed: int, sessions: Sessions = SESSIONS) -> Bars:
    """Every session of the calendar up to and with the day."""
    return walk(sessions.between(STEP, sessions.known_from, int(sessions.closes[DAY]) - 1).tolist(), seed)


def minutes_of(symbol: str, bars: Bars, session: tuple[int, int]) -> list[Minute]:
    """The session's bars as five minutes each, that add up to them."""
    found = []
    for n, label in enumerate(bars.labels.tolist()):
        if not session[0] <= label < session[1]:
            continue
        o, h, low, c = (float(getattr(bars, name)[n]) for name in ("open", "high", "low", "close"))
        parts = [
            (o, max(o, h), o, o),
            (o, o, min(o, low), low),
            (low, low, low, low),
            (low, h, low, h),
            (h, h, min(h, c), c),
        ]
        for k, (a, b, d, e) in enumerate(parts):
            found.append(Minute(Bar(symbol, label + 60 * k, a, b, d, e, float(bars.volume[n]) / 5), is_update=False))
    return found


def stream_of(bars: Mapping[str, Bars], session: tuple[int, int]) -> list[LiveEvent]:
    """Joined, then every minute of every symbol, minute by minute."""
    minutes = [minute for symbol, mine in bars.items() for minute in minutes_of(symbol, mine, session)]
    return [Joined(tuple(bars)), *sorted(minutes, key=lambda m: (m.bar.ts, m.bar.symbol))]


async def as_stream(events: Iterable[LiveEvent], pause_every: int = 50) -> AsyncIterator[LiveEvent]:
    for number, event in enumerate(events):
        if number % pause_every == 0:
            await asyncio.sleep(0)
        yield event


@dataclass
class Shelf:
    """A provider with bars on its shelf: what has closed by `clock()`, without what it was told to leave out."""

    bars: Mapping[str, Bars]
    without: frozenset[int] = frozenset()
    is_down: bool = False
    delay: float = 0.0
    calls: list[tuple[tuple[str, ...], int, int]] = field(default_factory=list)
    name: str = "shelf"
    feed: str = FEED

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        self.calls.append((tuple(symbols), first, last))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.is_down:
            raise ProviderDown("the shelf is down")
        return Answer({symbol: self._rows(symbol, first, last) for symbol in symbols})

    def _rows(self, symbol: str, first: int, last: int) -> list[Bar]:
        if symbol not in self.bars:
            return []
        bars = self.bars[symbol]
        keep = (bars.labels >= first) & (bars.labels <= last) & ~np.isin(bars.labels, list(self.without))
        columns = (bars.labels, bars.open, bars.high, bars.low, bars.close, bars.volume)
        rows = zip(*(column[keep].tolist() for column in columns), strict=True)
        return [Bar(symbol, *row) for row in rows]

    async def close(self) -> None:
        pass


@dataclass
class Desk:
    """Everything a run needs, on one folder; running again goes on where it stood."""

    folder: Path
    bars: Mapping[str, Bars]
    strategy: BarStrategy = field(default_factory=busy)
    sessions: Sessions = SESSIONS
    start: int = -300  # seconds from the open

    @property
    def session(self) -> tuple[int, int]:
        return int(self.sessions.opens[DAY]), int(self.sessions.closes[DAY])

    def plan(self) -> Plan:
        symbols = tuple(self.bars)
        promotion = Promotion(self.strategy, symbols[0], FEED, date(2025, 10, 28), date(2025, 10, 28), {})
        facts = {
            "run_id": "run",
            "promotion_sha256": "0" * 64,
            "rules_hash": rules_hash(self.strategy),
            "strategy_key": self.strategy.key,
            "impl_version": self.strategy.version,
            "timeframe_minutes": self.strategy.rules.timeframe_minutes,
            "feed": FEED,
            "is_replay": True,
        }
        source = BarSource("shelf", "alpaca", FEED)
        return Plan(promotion, source, symbols, self.sessions, self.session, "run", facts)

    def run(
        self, events: Iterable[LiveEvent], provider: Shelf | None = None, start: int | None = None
    ) -> dict[str, Any]:
        shelf = provider or Shelf(self.bars)
        begin = self.session[0] + (self.start if start is None else start)
        asked = Asked(Path("manifest"), replay_from=begin)
        with (
            RunFolder(self.folder / "run") as folder,
            BarCache(self.folder / "cache" / "bars.sqlite", FEED, self.sessions) as cache,
        ):
            return asyncio.run(trade_session(self.plan(), asked, cache, folder, shelf, as_stream(events)))

    def said(self) -> dict[str, list[tuple[str, str, float]]]:
        """(trigger, side, level) by symbol, as the run's file has them."""
        found: dict[str, list[tuple[str, str, float]]] = {symbol: [] for symbol in self.bars}
        for row in read_lines(self.folder / "run" / SIGNALS):
            found[row["symbol"]].append((row["trigger_at"], row["side"], row["entry_price"]))
        return found

    def decisions(self, symbol: str | None = None) -> list[dict[str, Any]]:
        rows = read_lines(self.folder / "run" / CHECKS)
        return [row for row in rows if symbol in (None, row["symbol"])]

    def expected(self) -> dict[str, list[tuple[str, str, float]]]:
        """The backtest's signals of that day."""
        windows = trade_windows(Sessions(*(np.array([edge]) for edge in self.session)), self.strategy.rules)
        return {
            symbol: [brief(s) for s in find_signals(bars, self.strategy.rules, windows).signals]
            for symbol, bars in self.bars.items()
        }


def brief(signal: Signal) -> tuple[str, str, float]:
    return iso(signal.trigger_at), signal.side, signal.entry_price


def iso(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def promoted_folder(folder: Path, promotion: Promotion, result: BarResult) -> Path:
    """A run's folder as the backtest writes it; the path of its manifest."""
    verdict = {"status": "PROMOTABLE", "failed": []}
    files = run_files(result, promotion.strategy, None, verdict)
    index = {name: sha256(data) for name, data in files.items()}
    moment = datetime.now(UTC)
    manifest = build_manifest(promotion, result, index, error_id=None, commit=None, moment=moment, verdict=verdict)
    assert manifest["result"]["run_status"] == "SUCCESS"
    write_folder(folder, {"run_manifest.json": json_bytes(manifest), **files})
    return folder / "run_manifest.json"


def promoted_day(folder: Path, strategy: BarStrategy, seed: int = 3, symbol: str = "AAA") -> Path:
    """A promotable run on bars by chance."""
    first, last = date(2025, 10, 28), date(2025, 10, 28)
    span = span_of(first, last, "America/New_York")
    result = run_bar_backtest(as_columns(day_bars(seed)), SESSIONS, strategy, span, HOW)
    promotion = Promotion(strategy, symbol, FEED, first, last, {"bars_sha256": "x"})
    return promoted_folder(folder, promotion, result)


LOST = Lost("cut")
