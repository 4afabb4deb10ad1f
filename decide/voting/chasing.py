"""Votes that chase rewards: where those still to come would go, if they went where a vote is paid most.

A few large voters move most of the weight late, and go where reward per vote is high until it is not. So the gauges
that look best early are those that most votes are still to come to: a forecast that ignores it promises too much.
"""

from __future__ import annotations

from math import fsum

import numpy as np

from decide.quantiles import Codes, Floats

RECENT = 5  # epochs: as many as locks keep their size, enough for a median
NONE = 1e-9  # votes: less than the smallest unit of a lock


def filled(votes: Floats, rewards: Floats, coming: float) -> Floats:
    """Votes (n,) after `coming` more went, one by one, where reward per vote was highest: Σ(after − votes) = coming.

    After it all gauges that got any pay the same λ = R/V, and no other pays more: the k best by R/V, where k is the
    largest number with R_k/V_k ≥ λ_k = Σ_k R / (coming + Σ_k V). Where nothing is to come, or nothing pays, none moves.
    """
    pays = np.flatnonzero(rewards > 0)
    if coming <= 0 or not len(pays):
        return votes
    rate = rewards[pays] / np.maximum(votes[pays], NONE)
    order = pays[np.lexsort((rewards[pays], votes[pays], -rate))]  # by value alone: sums do not depend on names
    price = np.cumsum(rewards[order]) / (coming + np.cumsum(votes[order]))
    gets = rewards[order] >= price * votes[order]
    gets[0] = True  # whatever rounding says
    k = int(np.flatnonzero(gets)[-1])
    after = votes.copy()
    after[order[: k + 1]] = np.maximum(rewards[order[: k + 1]] / price[k], votes[order[: k + 1]])
    return after


def usual_total(finals: Floats, epoch: Codes) -> float:
    """Votes that an exchange ends with: the median of the newest `RECENT` epochs of finals (n,); 0 without any.

    Power changes slowly, what has been voted by a moment does not: so votes to come are the total less those seen.
    """
    ends = [fsum(finals[epoch == e].tolist()) for e in np.unique(epoch)[-RECENT:]]
    return float(np.median(ends)) if ends else 0.0
