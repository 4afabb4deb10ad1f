"""What goes wrong with bars on demand: over HTTP, on the socket, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = {  # kind -> where it can strike, and what its value is
    "down": "rest: HTTP status (default 503)",
    "empty": "rest: nothing; the answer has no bars",
    "slow": "rest: seconds of real time before the answer",
    "malformed": "rest, stream: nothing; the text breaks off",
    "wrong_symbol": "rest, stream: nothing; the bars are said to be of another symbol",
    "missing": "rest, stream: nothing; the bars are left out",
    "duplicate": "rest, stream: nothing; the bars come twice",
    "out_of_order": "rest: the answer is reversed; stream: a minute comes after the one that follows it",
    "revised": "rest, stream: relative error of the first version (default 0.002); on the stream a correction follows",
    "late": "stream: minutes of delay (default 3)",
    "disconnect": "stream: minutes away (default 2); the connection is closed and none is taken until then",
}
CHANNELS: Final = ("rest", "stream")


@dataclass
class BarFault:
    """One of `KINDS`, for a channel and a symbol (None: all), bars that open in `[first, last]` (unix seconds; None:
    any), and how many more strikes (None: for ever).
    """

    kind: str
    value: Any = None
    channel: str | None = None
    symbol: str | None = None
    first: int | None = None
    last: int | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.channel not in (None, *CHANNELS):
            raise ValueError(f"no channel {self.channel!r}; there are {', '.join(CHANNELS)}")

    def covers(self, ts: int) -> bool:
        """Whether a bar of this open is meant."""
        return (self.first is None or ts >= self.first) and (self.last is None or ts <= self.last)

    def strikes(self, kind: str, channel: str, symbol: str | None = None) -> bool:
        """Whether it hits; counts itself down."""
        if self.kind != kind or self.count == 0 or self.channel not in (None, channel):
            return False
        if symbol is not None and self.symbol not in (None, symbol):
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Faults(list[BarFault]):
    """The faults that are on."""

    def hit(self, kind: str, channel: str, symbol: str | None = None, ts: int | None = None) -> BarFault | None:
        """The first fault that strikes, or None."""
        return next((f for f in self if (ts is None or f.covers(ts)) and f.strikes(kind, channel, symbol)), None)
