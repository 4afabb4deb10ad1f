"""Which gauges can stand in for which: what others do at least as well needs no search of its own."""

from __future__ import annotations

from itertools import product

import numpy as np

from decide.voting.optimum.curve import Codes, Flags
from decide.voting.optimum.model import Model

STRONG = 4  # times the gauges that may be voted for: enough to rule out most of the others, in a fraction of the time
BLOCK = 8192  # pairs looked at together: twice as fast as all, because what comes between stays in the cache


def contenders(model: Model, gauges: Codes) -> Flags:
    """Which gauges (n,) fewer than `count` strong others can stand in for.

    Some best allocation votes for no others: each of those has a stand-in that is not voted for yet. Compared with the
    strong ones alone, a look that costs as little where nothing is tied as where all is.
    """
    curve = model.curve(gauges, model.risk.weights)
    worth = curve.value(curve.low) + curve.value(curve.high)
    strong = np.sort(np.argsort(-worth, kind="stable")[: STRONG * model.count])
    return np.asarray(stands_in(model, gauges[strong], gauges).sum(axis=0) < model.count)


def order(model: Model, gauges: Codes) -> tuple[Flags, Flags]:
    """Which gauges (n,) fewer than `count` of all can stand in for, and (n, n) which stand in for which.

    Some best allocation votes for every stand-in of each of its gauges; so equal gauges are never told apart by a
    search.
    """
    over = stands_in(model, gauges, gauges)
    return np.asarray(over.sum(axis=0) < model.count), over


def stands_in(model: Model, these: Codes, others: Codes) -> Flags:
    """Whether one of these gauges can take the place of one of the others, (m, n), whatever votes that one has.

    It pays no less in any scenario for any votes, R_i/(V_i + x) ≥ R_j/(V_j + x) at both ends of x (the difference is
    linear in x once multiplied out), may hold as few and as many, and held as many before. A strict partial order: of
    equal gauges the first goes before the others.
    """
    blocks = np.array_split(these, max(len(these) * len(others) // BLOCK, 1))
    return np.concatenate([_stands_in(model, block[:, None], np.asarray(others)) for block in blocks])


def _stands_in(model: Model, first: Codes, second: Codes) -> Flags:
    """`stands_in` of a column of gauges (m, 1) for a row of others (n,)."""
    over = _limits_allow(model, first, second)
    ends = list(product(zip(model.votes, model.rewards, strict=True), (model.low, model.high)))
    for (votes, rewards), x in ends:
        over &= rewards[first] * (votes[second] + x[second]) >= rewards[second] * (votes[first] + x[second])
    after = np.nonzero(over & (first >= second))  # only here does it matter whether two are equal
    i, j = first[after[0], 0], second[after[1]]
    same = (model.low[i] == model.low[j]) & (model.high[i] == model.high[j])
    if model.previous is not None:
        same &= model.previous[i] == model.previous[j]
    for (votes, rewards), x in ends:
        same &= rewards[i] * (votes[j] + x[j]) == rewards[j] * (votes[i] + x[j])
    over[after[0][same], after[1][same]] = False
    return over


def _limits_allow(model: Model, first: Codes, second: Codes) -> Flags:
    """Whether a gauge may hold as few and as many votes as another, and held as many before, (m, n)."""
    over = np.ones((len(first), len(second)), dtype=np.bool_)
    if np.ptp(model.low) > 0:
        over &= model.low[first] <= model.low[second]
    if np.ptp(model.high) > 0:
        over &= model.high[first] >= model.high[second]
    if model.previous is not None:
        over &= model.previous[first] >= model.previous[second]
    return over
