"""Quantiles of a mixture: a gauge's own past, its cluster's, everybody's, in shares by how much of each there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decide.errors import DecisionError
from decide.series import series

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Past moves: value (log ratio), weight > 0, and small codes ≥ 0 of gauge, cluster and epoch, N observations."""

    value: Floats
    weight: Floats
    gauge: Codes
    cluster: Codes
    epoch: Codes


@dataclass(frozen=True)
class Support:
    """What a sample holds for each of M targets: epochs of its gauge, epochs and weight of its cluster."""

    gauge_epochs: Codes
    cluster_epochs: Codes
    gauge_weight: Floats
    cluster_weight: Floats


def support(sample: Sample, gauge: Codes, cluster: Codes) -> Support:
    """How much of the sample is of each target's gauge (M,) and cluster (M,). One observation per gauge and epoch."""
    gauges = int(max(sample.gauge.max(initial=-1), gauge.max(initial=-1))) + 1
    clusters = int(max(sample.cluster.max(initial=-1), cluster.max(initial=-1))) + 1
    seen = np.zeros((clusters, int(sample.epoch.max(initial=-1)) + 1), dtype=np.bool_)
    seen[sample.cluster, sample.epoch] = True
    return Support(
        gauge_epochs=np.bincount(sample.gauge, minlength=gauges)[gauge],
        cluster_epochs=seen.sum(axis=1)[cluster],
        gauge_weight=np.bincount(sample.gauge, sample.weight, minlength=gauges)[gauge].astype(np.float64),
        cluster_weight=np.bincount(sample.cluster, sample.weight, minlength=clusters)[cluster].astype(np.float64),
    )


def pooled_shares(held: Support, strength: float) -> tuple[Floats, Floats]:
    """Share of the own sample n/(n+k), and of the cluster n/(n+k) in what is left; the rest is everybody's.

    `strength` k > 0 in observations: with n = k half of the answer is the gauge's own. Source: Bühlmann's credibility.
    """
    own = held.gauge_weight / (held.gauge_weight + strength)
    return own, held.cluster_weight / (held.cluster_weight + strength)


def fallback_shares(held: Support, least_gauge: int, least_cluster: int) -> tuple[Floats, Floats]:
    """The plain rule: the own sample with `least_gauge` epochs, else the cluster's with `least_cluster`, else all."""
    own = (held.gauge_epochs >= least_gauge).astype(np.float64)
    return own, (held.cluster_epochs >= least_cluster).astype(np.float64)


@dataclass(frozen=True)
class Steps:
    """Distribution functions of groups over places 0..N-1 of a ladder, kept where they step: most groups have few
    observations, and a row of N places for each would be mostly flat.
    """

    keys: Codes  # group * N + place of every observation, ascending
    starts: Codes  # (G + 1,) where a group's keys begin
    height: Floats  # (G, 1 + most observations of a group): after 0, 1, 2, ... of them
    places: int

    @classmethod
    def of(cls, weight: Floats, group: Codes) -> Steps:
        """Of N observations in the order of the ladder, each with its group's code."""
        groups, places = int(group.max(initial=-1)) + 1, len(group)
        keys = np.sort(group * places + np.arange(places))
        starts = np.searchsorted(keys, np.arange(groups + 1) * places)
        which, place = np.divmod(keys, max(places, 1))
        rank = np.arange(places) - starts[which]
        steps = np.zeros((groups, int(np.diff(starts).max(initial=0))))
        steps[which, rank] = weight[place]
        return cls(keys, starts, np.hstack([np.zeros((groups, 1)), _distribution(steps)]), places)

    def at(self, group: Codes, place: Codes) -> Floats:
        """Each group's function at a place; 0 for a group without observations."""
        known = group < len(self.height)
        group = np.where(known, group, 0)
        count = np.searchsorted(self.keys, group * self.places + place, side="right") - self.starts[group]
        return np.where(known, self.height[group, count], 0.0)


@dataclass(frozen=True)
class Ladder:
    """A sample in order of value, with the distributions that do not depend on clusters: shared by all forecasters."""

    order: npt.NDArray[np.intp]
    value: Floats  # (N,) ascending
    weight: Floats  # (N,) in that order
    gauge: Codes  # (M,) of the targets
    own: Steps  # by gauge
    everyone: Floats  # (N,)

    @classmethod
    def of(cls, value: Floats, weight: Floats, sample_gauge: Codes, gauge: Codes) -> Ladder:
        """Ladder of N >= 1 observations for M targets."""
        order = np.argsort(value, kind="stable")
        sorted_weight = weight[order]
        return cls(
            order=order,
            value=value[order],
            weight=sorted_weight,
            gauge=gauge,
            own=Steps.of(sorted_weight, sample_gauge[order]),
            everyone=_distribution(sorted_weight[None, :])[0],
        )


def mixture_quantiles(
    sample: Sample, gauge: Codes, cluster: Codes, shares: tuple[Floats, Floats], levels: Floats
) -> Floats:
    """Quantiles (M, Q) at `levels` (Q,) of each target's mixture: the least value with that much weight up to it.

    With shares (a, b) the distribution is a·own + (1−a)·b·cluster + (1−a)(1−b)·all, each of total weight 1. A target
    without own or cluster observations must have share 0 there (`pooled_shares` and `fallback_shares` see to it).
    """
    ladder = Ladder.of(sample.value, sample.weight, sample.gauge, gauge)
    return ladder_quantiles(ladder, sample.cluster, cluster, shares, levels)


def ladder_quantiles(
    ladder: Ladder, sample_cluster: Codes, cluster: Codes, shares: tuple[Floats, Floats], levels: Floats
) -> Floats:
    """`mixture_quantiles` on a prepared ladder; `sample_cluster` (N,) in the order of the sample."""
    own, near = shares
    kinds, which = np.unique(cluster, return_inverse=True)
    clusters = _distribution(ladder.weight * (sample_cluster[ladder.order] == kinds[:, None]))
    of_own, of_cluster, of_all = own[:, None], ((1 - own) * near)[:, None], ((1 - own) * (1 - near))[:, None]
    gauge, which = ladder.gauge[:, None], which.reshape(-1, 1)

    def below(place: Codes) -> Floats:
        """The mixtures (M, Q) up to places; it never falls, also in floats, as rounding keeps order."""
        mixed = ladder.own.at(gauge, place) * of_own
        mixed += clusters[which, place] * of_cluster
        mixed += ladder.everyone[place] * of_all
        return mixed

    low = np.zeros((len(gauge), len(levels)), dtype=np.int64)
    high = np.full_like(low, len(ladder.value) - 1)
    wanted = below(high[:, :1]) * levels - 1e-12
    while (low < high).any():
        middle = (low + high) // 2
        is_enough = below(middle) >= wanted
        high, low = np.where(is_enough, middle, high), np.where(is_enough, low, middle + 1)
    return np.asarray(ladder.value[high])


def _distribution(weight: Floats) -> Floats:
    """Rows of weights (M, N) as distribution functions; a row without weight stays 0."""
    total = np.cumsum(weight, axis=1)
    last = total[:, -1:]
    return np.asarray(np.divide(total, last, out=total, where=last > 0))


def pinball_rows(truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """Pinball loss (N, Q) of quantiles (N, Q) at levels (Q,): max(τ(y − q), (τ − 1)(y − q)), ≥ 0, 0 when exact.

    Errors: DecisionError for shapes that do not match, no rows, values not finite, levels outside (0, 1).
    """
    y, q, tau = series(truth, "truth"), series(quantiles, "quantiles", ndim=2), series(levels, "levels")
    if not len(y) or not len(tau) or q.shape != (len(y), len(tau)):
        raise DecisionError(f"quantiles are {q.shape}, expected {(len(y), len(tau))}, neither of them 0")
    if ((tau <= 0) | (tau >= 1)).any():
        raise DecisionError(f"levels {tau.tolist()} must lie within (0, 1)")
    over = y[:, None] - q
    return np.maximum(tau * over, (tau - 1) * over)
