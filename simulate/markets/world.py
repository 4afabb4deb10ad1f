"""A world of prediction markets: hidden probabilities, what people learn over time, how each market ends.

Every event has hypotheses with prior chances, of which one is drawn true. Until its end people watch a noisy signal of
the truth; the chance they rightly give each hypothesis is the posterior of a known drift under Brownian noise,

    P_j(t) ~ q_j exp(k X_j(t) - k^2 t / 2),   X_j(t) = k t [j is true] + B_j(t),   t in 0..1 of the event's life,

which is a martingale: prices are calibrated but for the distortion that `market_records` adds. Everything follows from
the seed, the day an event ends on, and its number in that day; so a longer world has the same markets as a shorter one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np

from simulate.markets.text import group_titles, question, slugged

STEP: Final = timedelta(hours=6)  # how often what people know changes
SLOPE: Final = 0.85  # log-odds shown per log-odds believed: markets are a little under-confident
FATES: Final = {  # fate -> its share among ordinary events
    "normal": 0.80,
    "early": 0.07,
    "disputed": 0.03,
    "late": 0.04,
    "void": 0.03,
    "closed_without_result": 0.02,
    "zero": 0.01,
}
ODDITIES: Final = ("three_outcomes", "no_tokens", "broken_prices", "text_liquidity")
EPOCH_ID: Final = 100_000  # ids per day


@dataclass(frozen=True)
class Size:
    """A world's size: closing days, ordinary markets and markets of recurring series per day, and its seed."""

    start: date
    days: int = 60
    markets: int = 40
    recurring: int = 12
    seed: int = 7


@dataclass(frozen=True)
class Event:
    """One question with its hypotheses; a market asks about each (of two hypotheses, about the first only)."""

    number: int
    topic: str
    start_at: datetime
    end_at: datetime
    prior: tuple[float, ...]
    truth: int
    knowledge: float
    fate: str
    ended_at: datetime
    series: str | None
    noise_seed: tuple[int, ...]

    @property
    def is_group(self) -> bool:
        return len(self.prior) > 2

    @property
    def market_count(self) -> int:
        return len(self.prior) if self.is_group else 1

    @cached_property
    def beliefs(self) -> np.ndarray[Any, Any]:
        """(steps, hypotheses): the right chances after each step of the event's life, in log-odds as shown."""
        chance = np.random.default_rng(self.noise_seed)
        steps = max(1, int((self.end_at - self.start_at) / STEP))
        moments = np.arange(steps + 1)[:, None] / steps
        noise = np.vstack([np.zeros(len(self.prior)), chance.normal(0, steps**-0.5, (steps, len(self.prior)))])
        signal = np.cumsum(noise, axis=0)
        signal[:, self.truth] += self.knowledge * moments[:, 0]
        logs = np.log(self.prior) + self.knowledge * signal - self.knowledge**2 * moments / 2
        odds = logs - np.log(np.maximum(np.exp(logs).sum(axis=1, keepdims=True) - np.exp(logs), 1e-12))
        return SLOPE * odds + chance.normal(0, 0.06, odds.shape)

    def shown(self, hypothesis: int, moment: datetime) -> float:
        """The middle of the book for a hypothesis at a moment of the event's life."""
        step = int((min(moment, self.end_at) - self.start_at) / STEP)
        odds = float(self.beliefs[min(max(step, 0), len(self.beliefs) - 1), hypothesis])
        return 1 / (1 + float(np.exp(-odds)))

    def statuses(self, moment: datetime) -> list[str]:
        """UMA's history up to a moment."""
        hour, end = timedelta(hours=1), self.ended_at
        told = [(end - 2 * hour, "proposed"), (end, "resolved")]
        if self.fate == "disputed":
            told = [(end - 60 * hour, "proposed"), (end - 50 * hour, "disputed"), *told]
        elif self.fate == "late":
            told = told[:1]
        elif self.fate == "closed_without_result":
            told = []
        return [status for at, status in told if at <= moment]


@dataclass(frozen=True)
class Market:
    """One market of an event, for one of its hypotheses."""

    event: Event
    hypothesis: int
    oddity: str | None
    liquidity: float
    volume: float

    @property
    def market_id(self) -> str:
        return str(self.event.number + self.hypothesis)

    @cached_property
    def condition_id(self) -> str:
        return "0x" + hashlib.sha256(f"condition {self.market_id}".encode()).hexdigest()

    @cached_property
    def token_ids(self) -> tuple[str, str]:
        first, second = (hashlib.sha256(f"{side} {self.market_id}".encode()).digest() for side in ("yes", "no"))
        return str(int.from_bytes(first, "big")), str(int.from_bytes(second, "big"))

    @property
    def is_true(self) -> bool:
        return self.event.truth == self.hypothesis

    @property
    def question(self) -> str:
        return question(self.event.topic, self.event.end_at, self.group_title)

    @property
    def group_title(self) -> str | None:
        return group_titles(self.event.topic, self.event.market_count)[self.hypothesis] if self.event.is_group else None

    @property
    def slug(self) -> str:
        return slugged(f"{self.question} {self.market_id}")

    def is_listed(self, moment: datetime) -> bool:
        return moment >= self.event.start_at

    def is_closed(self, moment: datetime) -> bool:
        return moment >= self.event.ended_at


@dataclass
class MarketWorld:
    """All markets of a world; days are made when they are first asked for."""

    size: Size
    _by_token: dict[str, Market] = field(default_factory=dict)
    _by_condition: dict[str, Market] = field(default_factory=dict)

    @property
    def last_day(self) -> date:
        return self.size.start + timedelta(days=self.size.days - 1)

    def markets(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Market]:
        """Markets that end in [since, until], in order of their ids."""
        first = max(self.size.start, since.date()) if since else self.size.start
        last = min(self.last_day, until.date()) if until else self.last_day
        while first <= last:
            for market in self.of_day(first):
                end = market.event.end_at
                if (since is None or end >= since) and (until is None or end <= until):
                    yield market
            first += timedelta(days=1)

    def by_id(self, market_id: str) -> Market | None:
        if not market_id.isdigit():
            return None
        ordinal = int(market_id) // EPOCH_ID
        day = date.fromordinal(ordinal) if 0 < ordinal < date.max.toordinal() else None
        if day is None or not self.size.start <= day <= self.last_day:
            return None
        return next((m for m in self.of_day(day) if m.market_id == market_id), None)

    def by_condition(self, condition_id: str) -> Market | None:
        """The market of a condition."""
        if not self._by_condition:
            self._by_condition = {market.condition_id: market for market in self.markets()}
        return self._by_condition.get(condition_id)

    def by_token(self, token_id: str) -> tuple[Market, int] | None:
        """The market of a token, and which of its two outcomes the token is."""
        if not self._by_token:
            self._by_token = {token: market for market in self.markets() for token in market.token_ids}
        market = self._by_token.get(token_id)
        return (market, market.token_ids.index(token_id)) if market else None

    def of_day(self, day: date) -> tuple[Market, ...]:
        return _day(self.size, day)


@lru_cache(maxsize=512)
def _day(size: Size, day: date) -> tuple[Market, ...]:
    """The markets that end on a day: ordinary ones in events of one or several, then the recurring series."""
    chance = np.random.default_rng((size.seed, day.toordinal()))
    made: list[Market] = []
    while len(made) < size.markets:
        room = size.markets - len(made)
        members = int(chance.integers(3, 7)) if room >= 6 and chance.random() < 0.15 else 1
        made += _members(_event(size, day, len(made), members, chance), chance)
    for number in range(size.recurring):
        made += _members(_recurring(size, day, size.markets + number, number), chance)
    return tuple(made)


def _event(size: Size, day: date, position: int, members: int, chance: np.random.Generator) -> Event:
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    odd_hours = (time(0, 0), time(23, 59, 59), time(18, 30), time(4, 0))
    at = noon.time() if chance.random() < 0.95 else odd_hours[int(chance.integers(len(odd_hours)))]
    end = datetime.combine(day, at, tzinfo=UTC)
    if members > 1:
        prior = chance.dirichlet(np.full(members, 0.8)) * 0.98 + 0.02 / members
    else:
        yes = float(np.clip(chance.beta(0.45, 1.0), 0.005, 0.995))
        prior = np.array([yes, 1 - yes])
    fate = str(chance.choice(list(FATES), p=list(FATES.values())))
    fate = "normal" if members > 1 and fate in ("void", "zero", "closed_without_result") else fate
    delays = {"early": -float(chance.uniform(1, 12)) * 24, "disputed": float(chance.uniform(70, 160))}
    topics = ("election", "match", "price", "launch", "verdict")
    return Event(
        number=day.toordinal() * EPOCH_ID + position,
        topic=topics[int(chance.integers(len(topics)))],
        start_at=end - timedelta(days=int(chance.integers(20, 61))),
        end_at=end,
        prior=tuple(float(q) for q in prior / prior.sum()),
        truth=int(chance.choice(len(prior), p=prior / prior.sum())),
        knowledge=float(chance.lognormal(0.45, 0.4)),
        fate=fate,
        ended_at=(end + timedelta(hours=delays.get(fate, float(chance.uniform(3, 40))))).replace(microsecond=0),
        series=None,
        noise_seed=(size.seed, day.toordinal(), position),
    )


def _recurring(size: Size, day: date, position: int, number: int) -> Event:
    """Five-minute coin flips, a handful a day."""
    chance = np.random.default_rng((size.seed, day.toordinal(), position, 1))
    end = datetime.combine(day, time(), tzinfo=UTC) + timedelta(minutes=5 * (number + 1))
    return Event(
        number=day.toordinal() * EPOCH_ID + position,
        topic="updown",
        start_at=end - timedelta(days=10),
        end_at=end,
        prior=(0.5, 0.5),
        truth=int(chance.integers(2)),
        knowledge=0.1,
        fate="normal",
        ended_at=end + timedelta(hours=3),
        series="btc-up-or-down-5m",
        noise_seed=(size.seed, day.toordinal(), position),
    )


def _members(event: Event, chance: np.random.Generator) -> list[Market]:
    found = []
    for hypothesis in range(event.market_count):
        odd = chance.random() < 0.015 and not event.is_group and event.series is None
        volume = float(chance.lognormal(9.5, 1.8))
        liquidity = float(min(volume, chance.lognormal(8.0, 1.5)))
        kind = str(chance.choice(ODDITIES)) if odd else None
        found.append(Market(event, hypothesis, kind, round(liquidity, 4), round(volume, 4)))
    return found
