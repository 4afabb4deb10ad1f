"""How good probabilities of yes/no events were: scores, their decomposition, calibration, and the market beside them.

p (N,) are probabilities, y (N,) outcomes 0 or 1, both as float64. SQL computes the same scores in the marts; tests
hold the two together. Formulas and sources: docs/markets/method-scoring.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from decide.errors import DecisionError
from decide.series import Floats, series

CHUNK = 1 << 20  # draws held at once: 8 MB


@dataclass(frozen=True)
class Murphy:
    """Brier of the binned forecasts = reliability − resolution + uncertainty."""

    reliability: float
    resolution: float
    uncertainty: float


@dataclass(frozen=True)
class ClusteredMean:
    """A mean with its interval; rows of a cluster share their fate. `low` and `high` are NaN when `reason` says why."""

    estimate: float
    low: float
    high: float
    clusters: int
    observations: int
    reason: str | None = None


def _pairs(p: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    probability, outcome = series(p, "p"), series(y, "y")
    if len(probability) != len(outcome) or not len(outcome):
        raise DecisionError(f"p has {len(probability)} rows and y {len(outcome)}; expected as many, and at least one")
    if ((probability < 0) | (probability > 1)).any() or not np.isin(outcome, (0.0, 1.0)).all():
        raise DecisionError("p must lie within [0, 1] and y be 0 or 1")
    return probability, outcome


def brier_rows(p: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """(p − y)² per row, 0 to 1, less is better. Source: Brier (1950), Monthly Weather Review 78(1)."""
    probability, outcome = _pairs(p, y)
    return np.asarray((probability - outcome) ** 2)


def log_rows(p: npt.ArrayLike, y: npt.ArrayLike, clip: float) -> Floats:
    """−log of the probability given to what happened, p kept within [clip, 1 − clip].

    Source: Good (1952), Journal of the Royal Statistical Society B 14(1).
    """
    probability, outcome = _pairs(p, y)
    kept = np.clip(probability, clip, 1 - clip)
    return np.asarray(-np.where(outcome == 1, np.log(kept), np.log1p(-kept)))


def bin_of(p: npt.ArrayLike, bins: int) -> npt.NDArray[np.int64]:
    """Bin 0 … bins − 1 of equal width; 1 belongs to the last."""
    return np.minimum((series(p, "p") * bins).astype(np.int64), bins - 1)


def murphy(p: npt.ArrayLike, y: npt.ArrayLike, bins: int) -> Murphy:
    """Reliability Σ n_k (p̄_k − ȳ_k)²/N, resolution Σ n_k (ȳ_k − ȳ)²/N, uncertainty ȳ(1 − ȳ) over equal-width bins.

    Source: Murphy (1973), Journal of Applied Meteorology 12(4).
    """
    probability, outcome = _pairs(p, y)
    place = bin_of(probability, bins)
    counts = np.bincount(place, minlength=bins).astype(np.float64)
    held = counts > 0
    mean_p = np.bincount(place, probability, minlength=bins)[held] / counts[held]
    mean_y = np.bincount(place, outcome, minlength=bins)[held] / counts[held]
    share, base = counts[held] / len(outcome), float(outcome.mean())
    return Murphy(float(share @ (mean_p - mean_y) ** 2), float(share @ (mean_y - base) ** 2), base * (1 - base))


def wilson(happened: npt.ArrayLike, count: npt.ArrayLike, level: float) -> tuple[Floats, Floats]:
    """Wilson score interval of a share. Source: Wilson (1927), JASA 22(158)."""
    k, n = series(happened, "happened"), series(count, "count")
    if len(k) != len(n) or (n < 1).any() or ((k < 0) | (k > n)).any() or not 0 < level < 1:
        raise DecisionError("happened must lie within 0 and count, count be at least 1, level within (0, 1)")
    z = float(special.ndtri((1 + level) / 2))
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.asarray(np.maximum(centre - half, 0)), np.asarray(np.minimum(centre + half, 1))


def clustered_mean(
    values: npt.ArrayLike,
    clusters: Sequence[str],
    *,
    level: float,
    draws: int,
    seed: int,
    least_clusters: int,
) -> ClusteredMean:
    """Mean of values (N,) with a two-sided interval; clusters (N,), not rows, are what is resampled.

    Draw G of the G clusters with replacement; a draw's mean is Σ sums / Σ counts of those drawn. Expanded percentile
    interval as in `uncertainty.bootstrap_interval`, with clusters as the independent observations. Clusters are taken
    in order of their names, so the order of rows changes nothing. Source: Cameron, Gelbach & Miller (2008), Review of
    Economics and Statistics 90(3).
    """
    x = series(values, "values")
    if len(x) != len(clusters) or not len(x):
        raise DecisionError(f"{len(x)} values in {len(clusters)} clusters; expected as many, and at least one")
    if not 0 < level < 1 or draws < 1:
        raise DecisionError(f"level {level} must be within (0, 1) and draws {draws} at least 1")
    names, place = np.unique(np.asarray(clusters, dtype=object), return_inverse=True)
    groups = len(names)
    order = np.lexsort((x, place))  # sums do not depend on the order of rows, to the last bit
    sums: Floats = np.bincount(place[order], x[order], minlength=groups).astype(np.float64)
    counts: Floats = np.bincount(place, minlength=groups).astype(np.float64)
    estimate = float(sums.sum() / counts.sum())
    if groups < max(2, least_clusters):
        reason = f"{groups} events; at least {max(2, least_clusters)} are needed"
        return ClusteredMean(estimate, math.nan, math.nan, groups, len(x), reason)
    if np.ptp(x) == 0:
        return ClusteredMean(estimate, estimate, estimate, groups, len(x), "every row has the same value")
    means = _resampled(sums, counts, draws, seed)
    tail = float(special.ndtr(math.sqrt(groups / (groups - 1)) * special.stdtrit(groups - 1, (1 - level) / 2)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return ClusteredMean(estimate, float(low), float(high), groups, len(x))


def _resampled(sums: Floats, counts: Floats, draws: int, seed: int) -> Floats:
    """Means of `draws` resamples of clusters; the same whatever the size of a chunk."""
    rng, groups = np.random.default_rng(seed), len(sums)
    step = max(1, CHUNK // groups)
    found = []
    for start in range(0, draws, step):
        drawn = rng.integers(groups, size=(min(step, draws - start), groups))
        found.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(found)


def chance_of_difference(
    forecasts: tuple[npt.ArrayLike, npt.ArrayLike],
    markets: Sequence[str],
    events: Sequence[str],
    labels: npt.ArrayLike,
    *,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """How often a Brier difference as low, and as high, as the observed one comes by chance: two one-sided p.

    `forecasts` are p and m (N,), an experiment's probabilities and the market's, on rows of `markets` in `events`, each
    market's rows in order of time; `labels` (N,) what happened. The difference is mean (p − y)² − (m − y)². The first
    p-value takes the market to be right: every market happens with its last m, events apart; small, the experiment is
    better. The second takes the experiment to be right. Exact up to the draws (none is below 1/(draws + 1)), however
    few events there are and however rarely they happen. Within an event outcomes exclude each other where their
    probabilities leave room for it, else they happen together.
    Errors: DecisionError for lengths that differ, no rows, probabilities outside [0, 1] or labels that are not 0 or 1.
    """
    p, y = _pairs(forecasts[0], labels)
    m, _ = _pairs(forecasts[1], labels)
    if not len(p) == len(m) == len(markets) == len(events):
        raise DecisionError(f"{len(p)} forecasts, {len(m)} prices, {len(markets)} markets and {len(events)} events")
    names, place = np.unique(np.asarray(markets, dtype=object), return_inverse=True)
    last = np.zeros(len(names), dtype=np.int64)
    last[place] = np.arange(len(place))  # the newest row of each market is the one that stays
    pull = np.bincount(place, p - m, minlength=len(names))  # a market that happens lowers the sum by twice this
    observed = float(pull @ y[last])
    group = np.unique(np.asarray(events, dtype=object)[last], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    found = []
    for right, sign in ((m[last], 1.0), (p[last], -1.0)):
        drawn = np.concatenate([part @ pull for part in _outcomes(right, group, draws, rng)])
        slack = 1e-9 * max(1.0, float(np.abs(pull).sum()))
        found.append((1 + int((sign * drawn >= sign * observed - slack).sum())) / (1 + draws))
    return found[0], found[1]


def _outcomes(
    probability: Floats, group: npt.NDArray[np.intp], draws: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Draws (draws, J) of J markets by event, some rows at a time: one number per event decides all of its markets."""
    order = np.lexsort((np.arange(len(group)), group))
    ends = np.cumsum(probability[order])
    firsts = np.flatnonzero(np.diff(group[order], prepend=-1))
    before = np.repeat(ends[firsts] - probability[order][firsts], np.diff(np.r_[firsts, len(group)]))
    total = np.bincount(group, probability)
    start, stop = np.empty(len(group)), np.empty(len(group))
    start[order], stop[order] = ends - probability[order] - before, ends - before
    together = total[group] > 1 + 1e-9
    start[together], stop[together] = 0.0, probability[together]
    step = max(1, CHUNK // len(group))
    for first in range(0, draws, step):
        number = rng.random((min(step, draws - first), len(total)))[:, group]
        yield np.asarray((number >= start) & (number < stop), dtype=np.float64)


def time_weighted(losses: npt.ArrayLike, markets: Sequence[str], seconds: npt.ArrayLike) -> float:
    """Mean over markets of each market's mean loss, weighted by how long (seconds > 0) each forecast stood."""
    loss, stood = series(losses, "losses"), series(seconds, "seconds")
    if not len(loss) == len(markets) == len(stood) or not len(loss) or (stood <= 0).any():
        raise DecisionError("losses, markets and seconds must be as many, at least one, and seconds above 0")
    names, place = np.unique(np.asarray(markets, dtype=object), return_inverse=True)
    weight = np.bincount(place, stood, minlength=len(names))
    return float((np.bincount(place, loss * stood, minlength=len(names)) / weight).mean())


def log_growth_rows(fraction: npt.ArrayLike, price: npt.ArrayLike, won: npt.ArrayLike) -> Floats:
    """log of wealth after ÷ before for a stake f at price a: log(1 − f + f/a) when won, log(1 − f) when lost."""
    f, a, w = series(fraction, "fraction"), series(price, "price"), series(won, "won")
    if not len(f) == len(a) == len(w) or ((f <= 0) | (f >= 1) | (a <= 0) | (a >= 1)).any():
        raise DecisionError("fraction and price must lie within (0, 1), and be as many as won")
    return np.asarray(np.log1p(f * (w / a - 1)))
