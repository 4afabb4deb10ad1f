"""Quantiles of a mixture: a gauge's own past, its cluster's, everybody's, in shares by how much of each there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Past moves: value (log ratio), weight > 0, gauge code, cluster code and epoch of N observations."""

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
    pairs = np.unique(np.stack([sample.cluster, sample.epoch]), axis=1)[0]
    return Support(
        gauge_epochs=np.bincount(sample.gauge, minlength=gauges)[gauge],
        cluster_epochs=np.bincount(pairs, minlength=clusters)[cluster],
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


def mixture_quantiles(
    sample: Sample, gauge: Codes, cluster: Codes, shares: tuple[Floats, Floats], levels: Floats
) -> Floats:
    """Quantiles (M, Q) at `levels` (Q,) of each target's mixture: the least value with that much weight up to it.

    With shares (a, b) the distribution is a·own + (1−a)·b·cluster + (1−a)(1−b)·all, each of total weight 1. A target
    without own or cluster observations must have share 0 there (`pooled_shares` and `fallback_shares` see to it).
    """
    order = np.argsort(sample.value, kind="stable")
    value, weight = sample.value[order], sample.weight[order]
    own, near = shares
    in_gauge = weight * (sample.gauge[order] == gauge[:, None])
    kinds, which = np.unique(cluster, return_inverse=True)
    in_cluster = weight * (sample.cluster[order] == kinds[:, None])
    density = in_gauge * (own / _positive(in_gauge.sum(axis=1)))[:, None]
    density += (in_cluster / _positive(in_cluster.sum(axis=1))[:, None])[which] * ((1 - own) * near)[:, None]
    density += (weight / weight.sum()) * ((1 - own) * (1 - near))[:, None]
    below = np.cumsum(density, axis=1)
    wanted = below[:, -1:] * levels - 1e-12
    places = [(below < wanted[:, [q]]).sum(axis=1) for q in range(len(levels))]
    return np.asarray(value[np.stack(places, axis=1)])


def _positive(total: Floats) -> Floats:
    return np.where(total > 0, total, 1.0)
