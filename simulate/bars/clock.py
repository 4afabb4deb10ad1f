"""The stock market's own time: it stands until somebody subscribes, then runs `speed` times as fast as a wall clock.

Speed 0 is as fast as whoever listens can read: the clock is then where the stream has come to. At any speed above 1,
and at 0, nights and weekends are leapt over.
"""

from __future__ import annotations

import time

from simulate.bars.market import MINUTE, Session

LEAP_AFTER, LEAP_BEFORE = 10 * MINUTE, 5 * MINUTE  # from ten minutes after a close to five before the next open


class BarClock:
    """Unix seconds of the simulated market."""

    def __init__(self, start: float, speed: float, sessions: list[Session]) -> None:
        self.speed, self._sessions = speed, sessions
        self._base, self._since = start, time.monotonic()
        self.is_running = False

    def now(self) -> float:
        if not self.is_running or self.speed == 0:
            return self._base
        return self._base + (time.monotonic() - self._since) * self.speed

    def start(self) -> None:
        """Run from where it stands."""
        if not self.is_running:
            self.is_running, self._since = True, time.monotonic()

    def set(self, moment: float, speed: float | None = None) -> None:
        """Stand at `moment`, and run on if it was running."""
        self._base, self._since = moment, time.monotonic()
        self.speed = self.speed if speed is None else speed

    def reach(self, moment: float) -> None:
        """At speed 0: the stream has come to `moment`."""
        if self.speed == 0:
            self._base = max(self._base, moment)

    def seconds_until(self, moment: float) -> float:
        """Real seconds until `moment`; 0 where it has come, or at speed 0."""
        return 0.0 if self.speed == 0 else max(moment - self.now(), 0.0) / self.speed

    def leap(self) -> bool:
        """From after a close to before the next open, when nobody wants to wait for real; whether it did."""
        if self.speed == 1:
            return False
        now = self.now()
        following = next((s for s in self._sessions if s.close + LEAP_AFTER > now), None)
        if following is not None and now < following.open - LEAP_BEFORE:
            self.set(following.open - LEAP_BEFORE)
            return True
        return False
