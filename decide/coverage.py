"""How often an interval holds the truth, from simulation: which intervals may be shown, and what is said beside them.

The numbers are rows of the `interval_coverage` seed; the suite simulates them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Covered:
    """One statistic's intervals at `observations` and more, over all simulated processes: least and most coverage."""

    observations: int
    level: float
    least: float
    most: float


@dataclass(frozen=True)
class IntervalCoverage:
    """What is known of each statistic's intervals, by number of observations ascending, and how much they may miss."""

    known: Mapping[str, tuple[Covered, ...]]
    tolerance: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], tolerance: float) -> IntervalCoverage:
        """From the rows of the `interval_coverage` seed."""
        found: dict[str, list[Covered]] = {}
        for row in sorted(rows, key=lambda row: int(row["observations"])):
            held = Covered(int(row["observations"]), *(float(row[name]) for name in ("level", "least", "most")))
            found.setdefault(str(row["statistic"]), []).append(held)
        return cls({name: tuple(held) for name, held in found.items()}, tolerance)

    def at(self, statistic: str, observations: int) -> Covered | None:
        """The row that speaks for so many observations: the nearest one simulated that has no more."""
        held = [row for row in self.known.get(statistic, ()) if row.observations <= observations]
        return held[-1] if held else None

    def is_shown(self, statistic: str, observations: int) -> bool:
        """Whether intervals of so many observations, and of all longer series, cover their level less the tolerance."""
        held = self.at(statistic, observations)
        if held is None:
            return False
        longer = [row for row in self.known[statistic] if row.observations >= held.observations]
        return all(row.least >= row.level - self.tolerance for row in longer)

    def said(self, statistic: str, observations: int) -> str | None:
        """What must be said beside an interval, or why it is withheld; None: it covers what it promises."""
        held = self.at(statistic, observations)
        if held is None:
            return f"withheld: nothing is known of intervals of {observations} observations"
        if not self.is_shown(statistic, observations):
            least = min(row.least for row in self.known[statistic] if row.observations >= held.observations)
            return f"withheld: in simulation {held.level:.0%} intervals of the {statistic} cover down to {least:.0%}"
        if held.most > held.level + self.tolerance:
            return f"wide: in simulation these {held.level:.0%} intervals cover up to {held.most:.0%}"
        return None
