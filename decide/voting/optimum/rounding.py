"""Whole votes: the best integer allocation near a continuous one, on the same gauges."""

from __future__ import annotations

import numpy as np

from decide.voting.optimum.curve import Flags, Floats
from decide.voting.optimum.model import Model, Vote
from decide.voting.optimum.pieces import Pieces

LITTLE = 1e-16  # of the objective: gains below this are rounding noise
ROUGH = 1e-9  # of a unit


def whole(model: Model, pieces: Pieces, vote: Vote) -> Vote:
    """Fox's greedy on the vote's gauges: floors first, then unit after unit to the largest gain, then single exchanges.

    Exact where one piece is active and no turnover limit binds, because f is concave and only Σx couples the gauges.
    The turnover limit holds too, unless no exchange of single units reaches it (previous votes are no whole numbers):
    then the votes move less than one unit a gauge too many. Source: Fox (1966), Management Science 13(3).
    """
    state = _Units(model, pieces, vote)
    missing = round(1 / model.grid) - int(state.units.sum())
    for _ in range(abs(missing)):
        state.add(1 if missing > 0 else -1)
    for _ in range(50 * len(state.units) + 50):
        if not state.exchange():
            break
    x = state.units * model.grid
    return Vote(vote.gauges, x, model.objective(vote.gauges, x))


class _Units:
    """Units (n,) per gauge, and what one more or one less on each is worth per scenario (S, n)."""

    def __init__(self, model: Model, pieces: Pieces, vote: Vote) -> None:
        self.model, self.gauges = model, vote.gauges
        self.mixes, self.offsets = pieces.mixes, pieces.offsets
        self.grid = model.grid
        self.least = np.round(model.low[vote.gauges] / model.grid)
        self.most = np.floor(model.high[vote.gauges] / model.grid + ROUGH)
        self.units = np.clip(np.floor(vote.x / model.grid + ROUGH), self.least, self.most)
        self.votes, self.rewards = model.votes[:, vote.gauges], model.rewards[:, vote.gauges]
        self.previous = None if model.previous is None else model.previous[vote.gauges] / model.grid
        self.limit = (1 - model.keep) / model.grid + ROUGH

    def gain(self, step: int) -> Floats:
        """What `step` more units on a gauge add to each piece (J, n), without cancellation; −inf where not allowed."""
        before = self.units * self.grid
        after = np.maximum(before + step * self.grid, self.grid)
        changed = self.rewards * self.votes * (step * self.grid) / ((self.votes + before) * (self.votes + after))
        allowed = (self.units + step >= self.least) & (self.units + step <= self.most)
        return np.where(allowed, self.mixes @ changed, -np.inf)

    def value(self) -> Floats:
        """The pieces (J,) as they are."""
        x = self.units * self.grid
        return np.asarray(self.mixes @ (self.rewards * (x / (self.votes + x))).sum(axis=1) + self.offsets)

    def moved(self, step: int) -> Floats:
        """What `step` more units on a gauge change in the turnover (n,), in units."""
        if self.previous is None:
            return np.zeros(len(self.units))
        ahead = self.units - self.previous
        return np.asarray(np.maximum(ahead + step, 0.0) - np.maximum(ahead, 0.0))

    def turnover(self) -> float:
        """Units that moved."""
        return 0.0 if self.previous is None else float(np.maximum(self.units - self.previous, 0.0).sum())

    def add(self, step: int) -> None:
        """One unit more or less where it is worth most, within the turnover limit if possible."""
        worth = (self.value()[:, None] + self.gain(step)).min(axis=0)
        over = np.maximum(self.turnover() + self.moved(step) - self.limit, 0.0)
        over = np.where(np.isfinite(worth), over, np.inf)
        self.units[int(np.lexsort((-worth, over))[0])] += step

    def exchange(self) -> bool:
        """Move one unit to where it is worth more, or, above the turnover limit, to where fewer move; False if none."""
        up, down = self.gain(1), self.gain(-1)
        value = self.value()
        now = float(value.min())
        over = self.turnover() - self.limit
        if len(value) == 1 and self.previous is None:
            to, source = int(np.argmax(up[0])), int(np.argmax(down[0]))
            better = to != source and up[0, to] + down[0, source] > LITTLE * abs(now)
        else:
            worth = (value[:, None, None] + up[:, None, :] + down[:, :, None]).min(axis=0)
            moved = self.moved(1)[None, :] + self.moved(-1)[:, None]
            np.fill_diagonal(worth, -np.inf)
            source, to = _best(worth, moved, over)
            better = (
                bool(worth[source, to] > now + LITTLE * abs(now)) if over <= 0 else bool(moved[source, to] < -ROUGH)
            )
            better = better and bool(np.isfinite(worth[source, to]))
        if better:
            self.units[to] += 1
            self.units[source] -= 1
        return better


def _best(worth: Floats, moved: Floats, over: float) -> tuple[int, int]:
    """The best exchange (from, to): within the limit, worth most; above it, the least loss per unit moved back."""
    allowed: Flags = moved + over <= 0 if over <= 0 else moved < -ROUGH
    score = np.where(allowed, worth if over <= 0 else (worth - worth.max()) / np.maximum(-moved, ROUGH), -np.inf)
    found = np.unravel_index(int(np.argmax(score)), score.shape)
    return int(found[0]), int(found[1])
