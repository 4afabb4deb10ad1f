"""From quantiles to scenarios: what others' votes and rewards become if things go badly, as expected, or well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decide.errors import DecisionError
from decide.quantiles import Floats
from decide.voting.forecast import apply_move


@dataclass(frozen=True)
class Scenario:
    """One scenario: its weight and the places in `forecast.LEVELS` of its drift and uplift quantiles."""

    name: str
    weight: float
    drift_level: int
    uplift_level: int


@dataclass(frozen=True)
class ScenarioSet:
    """Scenarios of one set, worst first; their weights add up to 1 (DecisionError otherwise)."""

    name: str
    scenarios: tuple[Scenario, ...]

    def __post_init__(self) -> None:
        if abs(sum(s.weight for s in self.scenarios) - 1.0) > 1e-9:
            raise DecisionError(f"the weights of scenario set {self.name} do not add up to 1")

    @property
    def weights(self) -> Floats:
        return np.array([s.weight for s in self.scenarios])


def scenario_values(
    wanted: ScenarioSet, votes: Floats, rewards: Floats, drift: Floats, uplift: Floats, floors: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Others' votes and rewards (N, S) per scenario from what is visible (N,) and quantiles (N, 5) of log ratios.

    `floors`: of drift in votes, of uplift in USD, as in `forecast.move`. In a set whose drift quantiles fall and uplift
    quantiles rise from scenario to scenario, every allocation earns more in a later one: a weight on the worst is then
    only a re-weighting of the scenarios.
    """
    moved = [
        (
            apply_move(votes, drift[:, s.drift_level], floors[0]),
            apply_move(rewards, uplift[:, s.uplift_level], floors[1]),
        )
        for s in wanted.scenarios
    ]
    return np.stack([v for v, _ in moved], axis=1), np.stack([r for _, r in moved], axis=1)
