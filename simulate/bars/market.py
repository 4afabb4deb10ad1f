"""The world's stock market: seeded symbols that trade by the minute, on the sessions of a calendar file.

The same seed gives the same minutes whatever is asked first: a day's path depends on seed, symbol and date only. Ranges
shrink and grow in spells and are wide at the open and the close, so that inside bars come about as often as in real
five-minute bars. `THIN` trades in half of its minutes only. Prices are in cents.
"""

from __future__ import annotations

import csv
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

MINUTE, M5, DAY = 60, 300, 86_400
SYMBOLS = ("FORE", "TIDE", "REEF", "THIN")
THIN = frozenset({"THIN"})
DAILY_SPREAD = 0.02  # of a day's logarithmic return
MINUTE_SPREAD = 0.0011
STRAY_MINUTES = (-300, -120, -35, -10, 0, 25, 90)  # trades outside the session, minutes from its open or its close


@dataclass(frozen=True)
class Session:
    """A session of the calendar: New York date, open and close in unix seconds."""

    day: date
    open: int
    close: int


@dataclass(frozen=True)
class MinuteBar:
    """One bar of any length: `ts` is its open, unix seconds UTC."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    trades: int

    @property
    def vwap(self) -> float:
        return round((self.high + self.low + self.close) / 3, 4)


def read_sessions(path: Path) -> list[Session]:
    """The calendar, ascending; FileNotFoundError or KeyError where it is none."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [Session(date.fromisoformat(r["date"]), _unix(r["open_utc"]), _unix(r["close_utc"])) for r in rows]


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


class Market:
    """Every symbol's minutes, made when they are asked for."""

    def __init__(self, sessions: list[Session], symbols: tuple[str, ...] = SYMBOLS, seed: int = 7) -> None:
        self.sessions, self.symbols, self.seed = sessions, symbols, seed
        self._opens = np.array([s.open for s in sessions])
        self._day_closes = {symbol: self._walk(symbol) for symbol in symbols}
        self.minutes = lru_cache(maxsize=4_096)(self._minutes)

    def session_at(self, moment: int) -> int:
        """Number of the session that `moment` lies in, or of the last one before it; -1 before the first."""
        return int(np.searchsorted(self._opens, moment, "right")) - 1

    def between(self, symbol: str, first: int, last: int) -> list[MinuteBar]:
        """One-minute bars that open in `[first, last]`, those outside the session too."""
        start = max(self.session_at(first - DAY), 0)
        found: list[MinuteBar] = []
        for number in range(start, min(self.session_at(last + DAY) + 1, len(self.sessions))):
            found += [bar for ts, bar in self.minutes(symbol, number).items() if first <= ts <= last]
        return found

    def at(self, symbol: str, ts: int) -> MinuteBar | None:
        """The bar of one minute inside or shortly after a session, if it traded."""
        number = self.session_at(ts)
        return None if number < 0 else self.minutes(symbol, number).get(ts)

    def _walk(self, symbol: str) -> np.ndarray:
        """Closing price of every session."""
        chance = self._chance(symbol, 0)
        start = chance.uniform(30, 120)
        returns = chance.normal(0.0, DAILY_SPREAD, len(self.sessions))
        level = np.zeros(len(returns))
        for i in range(1, len(returns)):  # drawn back to where it began, or ten years would end at 0.01 or 10,000
            level[i] = 0.99 * level[i - 1] + returns[i]
        return np.asarray(start * np.exp(level))

    def _minutes(self, symbol: str, number: int) -> dict[int, MinuteBar]:
        session, chance = self.sessions[number], self._chance(symbol, number + 1)
        count = (session.close - session.open) // MINUTE
        end = self._day_closes[symbol][number]
        before = self._day_closes[symbol][max(number - 1, 0)]
        begin = before * np.exp(chance.normal(0.0, DAILY_SPREAD / 3))
        closes = _bridge(np.log(begin), np.log(end), count, chance)
        inside = self._bars(session.open + MINUTE * np.arange(count), begin, closes, chance)
        if symbol in THIN:
            traded = chance.random(count) < 0.5
            inside = [bar for bar, is_traded in zip(inside, traded, strict=True) if is_traded]
        strays = self._strays(session, begin, float(closes[-1]), chance)
        return {bar.ts: bar for bar in sorted([*strays, *inside], key=lambda bar: bar.ts)}

    def _bars(
        self, stamps: np.ndarray, begin: float, closes: np.ndarray, chance: np.random.Generator
    ) -> list[MinuteBar]:
        opens = np.r_[begin, closes[:-1]]
        reach = np.abs(chance.normal(0.0, MINUTE_SPREAD / 3, (2, len(closes))))
        highs, lows = np.maximum(opens, closes) * (1 + reach[0]), np.minimum(opens, closes) * (1 - reach[1])
        trades = chance.integers(20, 400, len(closes))
        cents = [np.round(values, 2).tolist() for values in (opens, highs, lows, closes)]
        return [
            MinuteBar(int(ts), o, max(h, o, c), min(low, o, c), c, int(n) * 90, int(n))
            for ts, o, h, low, c, n in zip(stamps, *cents, trades, strict=True)
        ]

    def _strays(self, session: Session, begin: float, end: float, chance: np.random.Generator) -> list[MinuteBar]:
        """A few trades before the open and after the close, as a provider's answer has them."""
        found = []
        for offset, is_there in zip(STRAY_MINUTES, chance.random(len(STRAY_MINUTES)) < 0.15, strict=True):
            if is_there:
                anchor, price = (session.open, begin) if offset < 0 else (session.close, end)
                cent = round(float(price), 2)
                found.append(MinuteBar(anchor + offset * MINUTE, cent, cent, cent, cent, 100, 1))
        return found

    def _chance(self, symbol: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(symbol.encode()), number])


def _bridge(begin: float, end: float, count: int, chance: np.random.Generator) -> np.ndarray:
    """Prices at the end of each of `count` minutes, from log price `begin` to `end`, in calm and lively spells."""
    place = np.linspace(-1, 1, count)
    spells = np.repeat(chance.lognormal(0.0, 0.35, count // 5 + 1), 5)[:count]
    steps = chance.normal(0.0, MINUTE_SPREAD, count) * (0.7 + 0.9 * place**2) * spells
    path = np.cumsum(steps)
    done = np.arange(1, count + 1) / count
    return np.asarray(np.exp(begin + path + done * (end - begin - path[-1])))


def roll(minutes: list[MinuteBar], seconds: int) -> list[MinuteBar]:
    """Longer bars from one-minute bars; a bar exists where at least one of its minutes traded."""
    groups: dict[int, list[MinuteBar]] = {}
    for bar in minutes:
        groups.setdefault(bar.ts // seconds * seconds, []).append(bar)
    return [
        MinuteBar(
            ts=ts,
            open=part[0].open,
            high=max(bar.high for bar in part),
            low=min(bar.low for bar in part),
            close=part[-1].close,
            volume=sum(bar.volume for bar in part),
            trades=sum(bar.trades for bar in part),
        )
        for ts, part in sorted(groups.items())
    ]
