"""Where a block lies in the night: which decision window it is decided as, and whether a vote can still land after it.

Chain time rules (block timestamps, Unix seconds, UTC); the machine's clock may be wrong by a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extract.seeds import DecisionWindow


@dataclass(frozen=True)
class Phases:
    """The decision windows of one epoch in order of time. `last_moment`: the last second that takes a vote, if only of
    whoever is exempt; `closes_at`: where it ends for everybody else. Before both every block is decided on for
    `late_seconds`.
    """

    windows: Sequence[DecisionWindow]
    boundary: int
    last_moment: int
    closes_at: int
    late_seconds: int

    @classmethod
    def of(
        cls,
        windows: Sequence[DecisionWindow],
        closed_seconds: int,
        boundary: int,
        last_moment: int,
        late_seconds: int,
    ) -> Phases:
        """The windows that are decided on an exchange that closes so many seconds early: the control aside, and those
        for early closing where there is none.
        """
        mine = [w for w in windows if w.reads == "own" and (w.scope == "every" or closed_seconds)]
        ordered = sorted(mine, key=lambda w: w.position)
        return cls(ordered, boundary, last_moment, boundary - closed_seconds, late_seconds)

    def target(self, window: DecisionWindow) -> int | None:
        """The moment whose block the window reads; None where that hangs on the last block that takes a vote."""
        return self.boundary - window.seconds_before if window.anchor == "boundary" else None

    def window_at(self, at: int, block_seconds: int) -> DecisionWindow | None:
        """What a block stamped `at` is decided as: the newest window whose block it is, or was before it; None before
        the first. The block after it is expected `block_seconds` later.
        """
        found = None
        for window in self.windows:
            target = self.target(window)
            is_reached = target < at + block_seconds if target is not None else self.is_last_chance(at, block_seconds)
            found = window if is_reached else found
        return found

    def is_last_chance(self, at: int, block_seconds: int) -> bool:
        """Whether the next block is the last that takes a vote."""
        return self.can_land(at, block_seconds) and not self.can_land(at + block_seconds, block_seconds)

    def can_land(self, at: int, block_seconds: int) -> bool:
        """Whether the block after one stamped `at` still takes votes."""
        return at + block_seconds <= self.last_moment

    def is_late(self, at: int) -> bool:
        """Whether every block is decided on by now."""
        return at >= self.boundary - self.late_seconds or 0 < self.closes_at - at <= self.late_seconds

    def passed(self, after: int, until: int) -> list[DecisionWindow]:
        """Windows whose target lies in [after, until): a later block may still share the second of the newest one."""
        targets = [(self.target(w), w) for w in self.windows]
        return [w for target, w in targets if target is not None and after <= target < until]

    def next_event(self, at: int) -> int:
        """The next moment something is due: a window's target, or the late phase."""
        targets = [t for w in self.windows if (t := self.target(w)) is not None]
        late = (end - self.late_seconds for end in (self.closes_at, self.boundary))
        return min((t for t in (*targets, *late) if t > at), default=self.last_moment)
