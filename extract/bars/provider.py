"""One protocol for everything that can say bars: a symbol, a timeframe, a span in; rows as it sent them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from extract.errors import ForeshoreError

SECONDS = {"M1": 60, "M5": 300}  # timeframes a provider is asked for; longer ones are made from M5


class Bar(msgspec.Struct, frozen=True):
    """A bar as a provider sent it: `ts` is its open in unix seconds UTC, `raw_time` how the provider wrote that.

    Prices in the quote currency; None where the provider sent none.
    """

    symbol: str
    ts: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    trade_count: int | None = None
    vwap: float | None = None
    raw_time: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it has all four prices and they do not contradict each other."""
        if self.open is None or self.high is None or self.low is None or self.close is None:
            return False
        inner, outer = (self.open, self.close), (self.low, self.high)
        return 0 < outer[0] <= min(inner) and max(inner) <= outer[1] < float("inf") and self._has_a_volume

    @property
    def _has_a_volume(self) -> bool:
        return self.volume is None or 0 <= self.volume < float("inf")

    @property
    def is_no_trade(self) -> bool:
        """Whether it only fills a slot in which nobody traded: flat, with a volume of 0."""
        return self.volume == 0 and self.low == self.high and self.is_whole


class Answer(msgspec.Struct, frozen=True):
    """Bars by symbol in the provider's order, an empty list where it had nothing; what it cost in calls and bytes."""

    bars: Mapping[str, Sequence[Bar]]
    calls: int = 0
    bytes: int = 0


class BarProvider(Protocol):
    """Anything that answers for bars. `feed` names the series: bars of two feeds are never mixed."""

    @property
    def name(self) -> str: ...

    @property
    def feed(self) -> str: ...

    async def fetch(self, symbols: Sequence[str], timeframe: str, first: int, last: int) -> Answer:
        """Bars that open in `[first, last]` (unix seconds UTC), oldest first where the provider keeps an order.

        An answer without bars is an answer. Errors: BarProviderError, whose message holds no secret.
        """
        ...

    def share(self, among: int) -> None:
        """Ask as one of `among` processes that share the provider's limits."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class BarProviderError(ForeshoreError):
    """A bar provider did not answer, or not with what was asked for."""


class ProviderDown(BarProviderError):
    """No answer after every try; asking again later may help."""


class ProviderRefused(BarProviderError):
    """The provider said no: key, plan, or a request it does not take."""


class UnknownSymbol(BarProviderError):
    """The provider knows no such symbol."""


class MalformedAnswer(BarProviderError):
    """The answer is not what the provider's format says, or is about another symbol."""


def iso(ts: int) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%dT%H:%M:%SZ}"
