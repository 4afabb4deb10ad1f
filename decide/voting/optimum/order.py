"""Which gauges can stand in for which: what others do at least as well needs no search of its own."""

from __future__ import annotations

import numpy as np

from decide.voting.optimum.curve import Codes, Flags
from decide.voting.optimum.model import Model

STRONG = 4  # times the gauges that may be voted for: enough to rule out most of the others, in a fraction of the time


def contenders(model: Model, gauges: Codes) -> tuple[Flags, Flags]:
    """Which gauges (n,) fewer than `count` others can stand in for, and (n, n) which of these stand in for which.

    Some best allocation votes for no others: each of those has a stand-in that is not voted for yet. And it votes for
    every stand-in of each of its gauges; so equal gauges are never told apart by a search.
    """
    curve = model.curve(gauges, model.risk.weights)
    worth = curve.value(curve.low) + curve.value(curve.high)
    strong = np.sort(np.argsort(-worth, kind="stable")[: STRONG * model.count])
    needed = stands_in(model, gauges[strong], gauges).sum(axis=0) < model.count
    places = np.flatnonzero(needed)
    over = np.zeros((len(gauges), len(gauges)), dtype=np.bool_)
    over[np.ix_(places, places)] = stands_in(model, gauges[places], gauges[places])
    return needed & (over.sum(axis=0) < model.count), over


def stands_in(model: Model, these: Codes, others: Codes) -> Flags:
    """Whether one of these gauges can take the place of one of the others, (m, n), whatever votes that one has.

    It pays no less in any scenario for any votes, R_i/(V_i + x) ≥ R_j/(V_j + x) at both ends of x (the difference is
    linear in x once multiplied out), may hold as few and as many, and held as many before. A strict partial order: of
    equal gauges the first goes before the others.
    """
    first, second = np.asarray(these)[:, None], np.asarray(others)
    over = (model.low[first] <= model.low[second]) & (model.high[first] >= model.high[second])
    same = (model.low[first] == model.low[second]) & (model.high[first] == model.high[second])
    if model.previous is not None:
        over &= model.previous[first] >= model.previous[second]
        same &= model.previous[first] == model.previous[second]
    for votes, rewards in zip(model.votes, model.rewards, strict=True):
        for x in (model.low[second], model.high[second]):
            one, two = rewards[first] * (votes[second] + x), rewards[second] * (votes[first] + x)
            over &= one >= two
            same &= one == two
    return np.asarray(over & ~(same & (first >= second)))
