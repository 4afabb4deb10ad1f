"""Every wait of a chain goes through here, and none is silent: what is waited for, and how long it has been."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from extract.evm.pace import Clock

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 30.0  # a run that waits says so at least this often
_SHORT_SECONDS = 5.0  # a single wait below it is not worth a line, unless they add up


@dataclass
class Waits:
    """Waits of one chain or source. `since` is when it last answered usefully; told lines are warnings of the log."""

    whose: str
    clock: Clock
    since: float = field(init=False)
    told_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.since = self.clock.now()

    def answered(self) -> None:
        self.since = self.clock.now()

    @property
    def unanswered_seconds(self) -> float:
        return self.clock.now() - self.since

    async def sleep(self, seconds: float, why: str) -> None:
        """Sleep, with a line now and one every HEARTBEAT_SECONDS for as long as it lasts."""
        while seconds > 0:
            if seconds >= _SHORT_SECONDS or self.unanswered_seconds >= HEARTBEAT_SECONDS:
                self._tell(seconds, why)
            step = min(seconds, HEARTBEAT_SECONDS)
            await self.clock.sleep(step)
            seconds -= step

    def _tell(self, seconds: float, why: str) -> None:
        if self.clock.now() - self.told_at < HEARTBEAT_SECONDS:
            return
        self.told_at = self.clock.now()
        log.warning(
            "%s: waiting %.0f s (no useful answer for %.0f s): %s",
            self.whose,
            seconds,
            self.unanswered_seconds,
            why,
        )
