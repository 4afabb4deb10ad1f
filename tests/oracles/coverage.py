"""Simulated series with a known truth, and how often intervals of them hold it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from decide.uncertainty import Statistic, bootstrap_interval, mean_interval

Floats = npt.NDArray[np.float64]
LENGTHS = (4, 8, 12, 26, 52)
SERIES = 2_000


def correlated(chance: np.random.Generator, runs: int, length: int, memory: float) -> Floats:
    """Standard normal AR(1) paths after a burn-in of 40."""
    path = chance.standard_normal((runs, length + 40))
    for step in range(1, length + 40):
        path[:, step] = memory * path[:, step - 1] + math.sqrt(1 - memory**2) * path[:, step]
    return path[:, 40:]


def gains(chance: np.random.Generator, runs: int, length: int, _: float) -> Floats:
    """Shares of hindsight gained: three epochs in ten are a draw, the others are won a little more than lost."""
    return np.where(chance.random((runs, length)) < 0.3, 0.0, chance.normal(0.1, 0.2, (runs, length)))


# how a process is drawn, its memory, and its mean, median and P10
PROCESSES: dict[str, tuple[Callable[[np.random.Generator, int, int, float], Floats], float, dict[str, float]]] = {
    "independent": (correlated, 0.0, {"mean": 0.0, "median": 0.0, "p10": float(stats.norm.ppf(0.1))}),
    "correlated": (correlated, 0.3, {"mean": 0.0, "median": 0.0, "p10": float(stats.norm.ppf(0.1))}),
    "skewed": (
        lambda chance, runs, length, _: chance.gamma(4, 1, (runs, length)),
        0.0,
        {"mean": 4.0, "median": float(stats.gamma.median(4)), "p10": float(stats.gamma.ppf(0.1, 4))},
    ),
    "heavy": (
        lambda chance, runs, length, _: chance.standard_t(4, (runs, length)),
        0.0,
        {"mean": 0.0, "median": 0.0, "p10": float(stats.t.ppf(0.1, 4))},
    ),
    "with draws": (gains, 0.0, {"mean": 0.07}),
}


def coverage(statistic: Statistic, length: int, series: int = SERIES, draws: int = 300) -> tuple[float, float]:
    """Least and most coverage of 90 % intervals over the processes whose truth is known."""
    found = []
    for number, (draw, memory, truth) in enumerate(PROCESSES.values()):
        if statistic in truth:
            paths = draw(np.random.default_rng([number, length]), series, length, memory)
            held = [_interval(statistic, path, draws, n) for n, path in enumerate(paths)]
            found.append(float(np.mean([low <= truth[statistic] <= high for low, high in held])))
    return min(found), max(found)


def _interval(statistic: Statistic, values: Floats, draws: int, seed: int) -> tuple[float, float]:
    resampled = statistic != "mean"
    made = bootstrap_interval(values, statistic, draws=draws, seed=seed) if resampled else mean_interval(values)
    return made.low, made.high
