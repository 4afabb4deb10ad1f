"""The downside terms as the least of linear pieces: E − λD = min over pieces (q, c) of q·Ret + c.

| risk    | D                                   | pieces                                                       |
|---------|-------------------------------------|--------------------------------------------------------------|
| none    | 0                                   | q = w                                                        |
| worst   | E − min_s Ret_s                     | q = (1−λ)w + λe_s                                            |
| cvar    | E − CVaR_α                          | q = (1−λ)w + λt, 0 ≤ t ≤ w/α, Σt = 1                         |
| semidev | E[(E − Ret_s)+]                     | q = w(1 − λw(A)) + λw·1_A for a set A of scenarios           |
| regret  | max_s (Opt_s − Ret_s)               | q = w + λe_s, c = −λ·Opt_s                                   |

All have q ≥ 0 for 0 ≤ λ ≤ 1, so the objective is concave in the votes. Where every gauge pays more from scenario to
scenario, so does every allocation: the order of the returns is known and few pieces are left, often one.
Sources: Rockafellar & Uryasev (2000), Journal of Risk 2(3); Ogryczak & Ruszczyński (1999), EJOR 116(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, permutations, product

import numpy as np

from decide.voting.optimum.curve import Codes, Floats

SAME = 1e-10
MOST_PIECES = 64  # more are added one by one where they bind
STALE = 6  # uses without weight after which a piece goes, where there are many


@dataclass(frozen=True)
class Pieces:
    """J pieces: mixes q (J, S), offsets c (J,), and an id of each that never changes."""

    mixes: Floats
    offsets: Floats
    ids: Codes


@dataclass(frozen=True)
class Risk:
    """The downside term of weights w (S,), all in the model's scale.

    `best` (S,) are the Opt_s of regret; `base` (S,) is earned whatever is voted, by votes that are fixed.
    """

    kind: str
    weights: Floats
    aversion: float
    alpha: float
    best: Floats | None = None
    base: Floats | None = None

    def worst_piece(self, returns: Floats) -> tuple[float, Floats, float]:
        """E − λD at returns (S,) on top of the base, and the piece (q, c) of these returns that attains it."""
        mix, offset = self._piece(returns if self.base is None else returns + self.base)
        offset += self._earned(mix)
        return float(mix @ returns) + offset, mix, offset

    def _earned(self, mix: Floats) -> float:
        return 0.0 if self.base is None else float(mix @ self.base)

    def _piece(self, returns: Floats) -> tuple[Floats, float]:
        w, aversion = self.weights, self.aversion
        if self.kind == "none" or aversion == 0:
            return w, 0.0
        if self.kind == "semidev":
            below = returns < float(w @ returns)
            return w * (1 - aversion * float(w[below].sum())) + aversion * w * below, 0.0
        if self.kind == "cvar":
            return (1 - aversion) * w + aversion * self._tail(np.argsort(returns, kind="stable")), 0.0
        if self.kind == "regret" and self.best is not None:
            s = int(np.argmax(self.best - returns))
            return self._regret(s), -aversion * float(self.best[s])
        return self._on(int(np.argmin(returns))), 0.0

    def _on(self, s: int) -> Floats:
        mix = (1 - self.aversion) * self.weights
        mix[s] += self.aversion
        return mix

    def _regret(self, s: int) -> Floats:
        mix = self.weights.copy()
        mix[s] += self.aversion
        return mix

    def _tail(self, order: Codes) -> Floats:
        """t (S,): the worst α of the probability, scenarios from worst to best in `order`."""
        before = np.cumsum(self.weights[order]) - self.weights[order]
        tail = np.zeros(len(order))
        tail[order] = np.clip(self.alpha - before, 0.0, self.weights[order]) / self.alpha
        return np.asarray(tail / tail.sum())

    def pieces(self, votes: Floats, rewards: Floats) -> tuple[Floats, Floats, bool]:
        """q (J, S), c (J,) to start from, and whether they are all; V, R (S, N) tell the known orders."""
        mixes, offsets, is_whole = self._pieces(votes, rewards)
        return mixes, offsets if self.base is None else offsets + mixes @ self.base, is_whole

    def _pieces(self, votes: Floats, rewards: Floats) -> tuple[Floats, Floats, bool]:
        count, none = len(self.weights), np.zeros(1)
        if self.kind == "none" or self.aversion == 0 or (count == 1 and self.kind != "regret"):
            return self.weights[None, :], none, True
        if self.kind == "regret" and self.best is not None:
            return np.array([self._regret(s) for s in range(count)]), -self.aversion * self.best, True
        if self.kind == "worst":
            lowest = not_dominated(votes, rewards, self.base)
            return np.array([self._on(s) for s in lowest]), np.zeros(len(lowest)), True
        order = total_order(votes, rewards, self.base)
        mixes = self._tails(order, count) if self.kind == "cvar" else self._deviations(order, count)
        unique = np.unique(np.round(mixes, 15), axis=0)
        is_whole = order is not None or (count <= 4 if self.kind == "cvar" else 2**count <= MOST_PIECES)
        return unique, np.zeros(len(unique)), is_whole

    def _tails(self, order: Codes | None, count: int) -> Floats:
        few = permutations(range(count)) if count <= 4 else [tuple(range(count))]
        orders = [order] if order is not None else [np.array(o) for o in few]
        return np.array([(1 - self.aversion) * self.weights + self.aversion * self._tail(o) for o in orders])

    def _deviations(self, order: Codes | None, count: int) -> Floats:
        if order is not None:
            sets = [np.isin(np.arange(count), order[:size]) for size in range(1, count)]
        elif 2**count <= MOST_PIECES:
            sets = [np.array(chosen) for chosen in product([False, True], repeat=count)]
        else:
            sets = [np.zeros(count, dtype=np.bool_)]
        w = self.weights
        return np.array([w * (1 - self.aversion * float(w[below].sum())) + self.aversion * w * below for below in sets])


class Pool:
    """The pieces in use; where these are not all, lower ones are added as they turn up, and idle ones go."""

    def __init__(self, risk: Risk, votes: Floats, rewards: Floats) -> None:
        mixes, offsets, self.is_whole = risk.pieces(votes, rewards)
        self.pieces = Pieces(mixes, offsets, np.arange(len(mixes)))
        self.idle = np.zeros(len(mixes), dtype=np.int64)

    def add(self, risk: Risk, returns: Floats) -> bool:
        """Add the piece that returns (S,) attain, if those in use leave them higher."""
        if self.is_whole:
            return False
        now = self.pieces
        value, mix, offset = risk.worst_piece(returns)
        if value >= float((now.mixes @ returns + now.offsets).min()) - SAME * abs(value):
            return False
        ids = np.append(now.ids, now.ids[-1] + 1)
        self.pieces = Pieces(np.vstack([now.mixes, mix]), np.append(now.offsets, offset), ids)
        self.idle = np.append(self.idle, 0)
        return True

    def used(self, share: Floats) -> None:
        """Note the weights (J,) that the pieces in use just had; drop those that had none for long."""
        if self.is_whole or len(share) <= MOST_PIECES // 2:
            return
        self.idle = np.where(share > 1e-7, 0, self.idle + 1)
        keep = self.idle < STALE
        keep[-1] = True
        now = self.pieces
        if not keep.all():
            self.pieces, self.idle = Pieces(now.mixes[keep], now.offsets[keep], now.ids[keep]), self.idle[keep]


def never_above(votes: Floats, rewards: Floats, base: Floats | None, s: int, t: int) -> bool:
    """Whether no gauge pays more in s than in t, whatever is voted: R_s(V_t + x) ≤ R_t(V_s + x) at x = 0 and x = 1."""
    if base is not None and base[s] > base[t]:
        return False
    ends = (rewards[s] * (votes[t] + x) <= rewards[t] * (votes[s] + x) for x in (0.0, 1.0))
    return all(bool(end.all()) for end in ends)


def not_dominated(votes: Floats, rewards: Floats, base: Floats | None = None) -> list[int]:
    """The scenarios of which any can be the worst: without those that are never below another."""
    kept: list[int] = []
    for s in range(len(votes)):
        if any(never_above(votes, rewards, base, t, s) for t in kept):
            continue
        kept = [t for t in kept if not never_above(votes, rewards, base, s, t)] + [s]
    return kept


def total_order(votes: Floats, rewards: Floats, base: Floats | None = None) -> Codes | None:
    """The scenarios from worst to best where every gauge agrees on it, else None."""
    middle = (rewards / (votes + 0.5)).sum(axis=1)
    order = np.argsort(middle if base is None else middle + base, kind="stable")
    agreed = all(never_above(votes, rewards, base, int(s), int(t)) for s, t in pairwise(order))
    return order if agreed else None
