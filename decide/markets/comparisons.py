"""Which of two experiments is better on the markets that both forecast, when many pairs are looked at.

Rows of an event share their fate, so events are the independent observations: of the mean difference of squared errors
the standard error is the cluster-robust one, t has G − 1 degrees of freedom. Of many comparisons one looks decided by
luck: Holm's step-down p-values hold the chance of any false verdict in a family at 1 − level, whatever hangs together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from decide.errors import DecisionError
from decide.series import Floats, series

ROUNDING = 1e-12  # two ways to the same probability differ by less; such a difference is none


@dataclass(frozen=True)
class Comparison:
    """Mean difference of squared errors (experiment − reference; below 0 favours the experiment) and how sure it is.

    `low`, `high`, `detectable` and `more` are NaN, and `p_value` too, when `reason` says why nothing can be told.
    """

    difference: float
    error: float
    events: int
    observations: int
    p_value: float
    reason: str | None = None
    p_adjusted: float = math.nan
    low: float = math.nan
    high: float = math.nan
    detectable: float = math.nan
    more: float = math.nan


def compare(differences: npt.ArrayLike, clusters: Sequence[str], *, least_rows: int, least_clusters: int) -> Comparison:
    """One pair: differences (N,) of squared errors on the same market and snapshot, clusters (N,).

    SE² = G/(G−1) · Σ_g (Σ_{i∈g} (x_i − x̄))² / N². Source: Cameron & Miller (2015), Journal of Human Resources 50(2).
    """
    x = series(differences, "differences")
    if len(x) != len(clusters) or not len(x):
        raise DecisionError(f"{len(x)} differences in {len(clusters)} clusters; expected as many, and at least one")
    x = np.where(np.abs(x) < ROUNDING, 0.0, x)
    names, place = np.unique(np.asarray(clusters, dtype=object), return_inverse=True)
    groups, mean = len(names), float(x.mean())
    sums: Floats = np.bincount(place, x - mean, minlength=groups).astype(np.float64)
    error = math.sqrt(groups / max(1, groups - 1) * float(sums @ sums)) / len(x)
    found = Comparison(mean, error, groups, len(x), math.nan)
    if len(x) < least_rows or groups < max(2, least_clusters):
        words = f"{len(x)} forecasts of {groups} events; at least {least_rows} of {max(2, least_clusters)} are needed"
        return replace(found, reason=words)
    if error <= ROUNDING:
        return replace(
            found, reason="they do not differ" if abs(mean) <= ROUNDING else "every row has the same difference"
        )
    p = 2 * float(special.stdtr(groups - 1, -abs(mean) / error))
    return replace(found, p_value=min(1.0, p))


def corrected(family: Sequence[Comparison], *, level: float, power: float, of_interest: float) -> list[Comparison]:
    """A family of comparisons, corrected together; those that cannot be told are left as they are.

    Of m that can: Holm's p-values; intervals at 1 − (1 − level)/m, which hold all at once (Bonferroni); the smallest
    true difference that is found with `power`, (t_{1−α/2m} + t_power) · SE; and how many more rows a true difference of
    `of_interest` takes, by SE ~ 1/√N. Sources: Holm (1979), Scandinavian Journal of Statistics 6(2); Bloom (1995),
    Evaluation Review 19(5).
    """
    if not 0 < level < 1 or not 0 < power < 1 or not of_interest > 0:
        raise DecisionError("level and power must lie within (0, 1), of_interest be above 0")
    judged = [n for n, each in enumerate(family) if each.reason is None]
    made, count, alpha = list(family), len(judged), 1 - level
    highest = 0.0
    for rank, n in enumerate(sorted(judged, key=lambda n: family[n].p_value)):
        each, freedom = family[n], family[n].events - 1
        highest = max(highest, min(1.0, (count - rank) * each.p_value))
        wide = float(special.stdtrit(freedom, 1 - alpha / (2 * count)))
        detectable = (wide + float(special.stdtrit(freedom, power))) * each.error
        more = math.ceil(max(0.0, each.observations * ((detectable / of_interest) ** 2 - 1)))
        made[n] = replace(
            each,
            p_adjusted=highest,
            low=each.difference - wide * each.error,
            high=each.difference + wide * each.error,
            detectable=detectable,
            more=float(more),
        )
    return made


def verdict(found: Comparison, level: float) -> str:
    """better, worse, undecided, or not_judged."""
    if found.reason is not None:
        return "not_judged"
    if found.p_adjusted > 1 - level:
        return "undecided"
    return "better" if found.difference < 0 else "worse"
