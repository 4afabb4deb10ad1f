"""Is the machine's clock the exchange's? The feed's own minutes and the provider's HTTP dates are held against it.

A minute is sent when it is over: one that comes long after it, or before it is over, was measured with a wrong clock,
or is told too late to act on. A few late minutes are usual; the earliest of the last minutes counts.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, runtime_checkable

TOLERANCE_SECONDS = 5.0  # a few seconds: a minute's bar comes within two, an HTTP date is whole seconds
KEPT_SECONDS = 180.0
HTTP_RESOLUTION = 1.0


@runtime_checkable
class TellsTime(Protocol):
    """A provider whose answers say what time it is there."""

    @property
    def clock(self) -> tuple[float, float] | None:
        """Its time and the machine's at its newest answer, unix seconds; None before the first."""
        ...


def clock_of(provider: object) -> tuple[float, float] | None:
    """The provider's time and the machine's at its newest answer; None where it does not tell."""
    return provider.clock if isinstance(provider, TellsTime) else None


class ClockWatch:
    """What is known of the difference between the machine's clock and the exchange's."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[float, float]] = deque()  # when it came, how long after it was over
        self._http: tuple[float, float] | None = None

    def minute(self, ended: float, came: float) -> None:
        """A minute that was over at `ended` (its own time) came at `came` (the machine's)."""
        self._minutes.append((came, came - ended))
        while self._minutes and self._minutes[0][0] < came - KEPT_SECONDS:
            self._minutes.popleft()

    def http(self, theirs: float, ours: float) -> None:
        """An answer was dated `theirs` when the machine's clock stood at `ours`."""
        self._http = theirs, ours

    def ahead(self) -> float:
        """Seconds that the machine's clock is ahead (below 0: behind); 0 where that cannot be told or is small."""
        found = []
        if self._http is not None:
            found.append((self._http[1] - self._http[0], TOLERANCE_SECONDS + HTTP_RESOLUTION))
        if self._minutes:
            found.append((min(lag for _, lag in self._minutes), TOLERANCE_SECONDS))
        beyond = [off for off, tolerance in found if abs(off) > tolerance]
        return max(beyond, key=abs, default=0.0)

    @property
    def over(self) -> float:
        """The moment the provider is known to have reached, by its own dates."""
        return self._http[0] if self._http is not None else 0.0
