"""Time as the client sees it, and the pace at which one provider may be asked."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

_DECREASE = 0.7  # multiplicative, once per cool-off: several refusals of one burst are one event
_RECOVERY_SHARE = 0.05  # of the configured rate, per second without a refusal
_COOL_OFF_SECONDS = 1.0
_FLOOR = 0.2  # calls per second: a provider that is slower than that is one that failed


@dataclass(frozen=True)
class Clock:
    """Where time and chance come from; tests put their own in."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: random.Random = field(default_factory=random.Random)

    def jitter(self, attempt: int, base: float = 0.25, ceiling: float = 15.0) -> float:
        """Seconds before try `attempt` (1, 2, ...): full jitter under an exponential ceiling, so that clients
        part.
        """
        return self.chance.uniform(0, min(ceiling, base * 2.0**attempt))


class Sleeper(Protocol):
    """A clock, and a way to sleep by it that says why."""

    @property
    def clock(self) -> Clock: ...
    async def sleep(self, seconds: float, why: str) -> None: ...


class Pace:
    """A token bucket that may go into debt: callers are given a start time each, in order of asking.

    `rate` is calls per second (None: unlimited until the provider complains); one second's worth may burst.
    """

    def __init__(self, rate: float | None, waits: Sleeper, longest_wait: float = 120.0) -> None:
        self.rate, self._ceiling, self._waits, self._longest = rate, rate, waits, longest_wait
        self._clock = clock = waits.clock
        self._free_at = self._changed_at = clock.now()
        self._taken = 0
        self._since = clock.now()

    async def take(self, calls: int, why: str = "") -> None:
        """Return when `calls` more calls may be sent; `why` is what a long wait is told as."""
        now = self._clock.now()
        self._taken += calls
        self._recover(now)
        delay = self.delay()
        if self.rate is not None:
            self._free_at = max(self._free_at, now - 1.0) + calls / self.rate
        if delay > 0:
            await self._waits.sleep(delay, why)

    def share(self, ceiling: float | None) -> None:
        """From now on no faster than `ceiling` (None: no limit): a part of what several processes share."""
        is_learned = self.rate is not self._ceiling
        self._ceiling = ceiling
        if not is_learned or (ceiling is not None and (self.rate is None or self.rate > ceiling)):
            self.rate = ceiling

    def delay(self) -> float:
        """Seconds until the next call may go."""
        return max(0.0, self._free_at - self._clock.now())

    def refused(self, retry_after: float | None) -> None:
        """The provider said slow down: lower the rate and rest for as long as it asks, up to the longest wait."""
        now = self._clock.now()
        if retry_after is not None:
            self._free_at = max(self._free_at, now + min(retry_after, self._longest))
        if now - self._changed_at >= _COOL_OFF_SECONDS or self.rate is self._ceiling:
            observed = self._taken / max(1.0, now - self._since)
            self.rate = max(_FLOOR, _DECREASE * (observed if self.rate is None else self.rate))
            self._changed_at = now

    def _recover(self, now: float) -> None:
        if self.rate is None or self.rate is self._ceiling or now - self._changed_at < _COOL_OFF_SECONDS:
            return
        step = _RECOVERY_SHARE * (self._ceiling or max(20.0, self.rate)) * (now - self._changed_at)
        self.rate = self.rate + step if self._ceiling is None else min(self._ceiling, self.rate + step)
        self._changed_at = now


class Slots:
    """At most `most` at once inside `async with`; `most` may change while some are."""

    def __init__(self, most: int) -> None:
        self._most, self._inside = most, 0
        self._queue: deque[asyncio.Future[None]] = deque()

    def share(self, most: int) -> None:
        """From now on at most so many."""
        self._most = most
        self._wake()

    async def __aenter__(self) -> None:
        while self._inside >= self._most:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been given already: the next one takes it
                raise
        self._inside += 1

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        self._wake()

    def _wake(self) -> None:
        room = self._most - self._inside
        while self._queue and room > 0:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1


def share_of(limit: float | None, among: int) -> float | None:
    """One part of a rate that `among` processes share; None stays without a limit."""
    return None if limit is None else limit / among
