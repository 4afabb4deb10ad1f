"""Branch and bound over which gauges are voted for; every node is bounded by its own dual."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from decide.voting.optimum.curve import Codes, Flags
from decide.voting.optimum.dual import ERROR
from decide.voting.optimum.model import Model, Vote
from decide.voting.optimum.order import contenders, order
from decide.voting.optimum.pieces import Pieces, Pool
from decide.voting.optimum.primal import fill, fits, may_fit, settled
from decide.voting.optimum.relax import Prices, Relaxed, is_separable, relax, relax_all
from decide.voting.optimum.rounding import whole

DECIDED = 1e-3  # how near to out or in the relaxation decides a gauge
LITTLE = 1e-3  # of the model's scale: what gaps are relative to where the objective is smaller (regret can be near 0)


@dataclass(frozen=True)
class Found:
    """The best votes found, an upper bound of all votes, and the nodes it took. No votes: none fit if bound is −inf."""

    vote: Vote | None
    bound: float
    nodes: int
    prices: Prices
    pool: Pool


@dataclass(frozen=True)
class Effort:
    """When to stop, in gaps and nodes, never in time: the same input gives the same answer.

    The gap that counts as proof and the nodes to bound at most; after `settle_nodes` a gap of `settle_gap` will do.
    """

    tolerance: float = 1e-6
    max_nodes: int = 2000
    settle_nodes: int | None = None
    settle_gap: float = 1e-4

    def is_spent(self, nodes: int, bound: float, value: float) -> bool:
        """Whether a search that has bounded some nodes may stop at a bound and a value."""
        if nodes >= self.max_nodes:
            return True
        if self.settle_nodes is None or nodes < self.settle_nodes:
            return False
        return bound - value <= self.settle_gap * max(abs(value), LITTLE)


@dataclass(order=True)
class _Node:
    """Gauges still open to the search; the smallest `order` (the highest bound) goes first."""

    order: tuple[float, int]
    gauges: Codes = field(compare=False)
    forced: Flags = field(compare=False)
    prices: Prices = field(compare=False)


class Search:
    """One run: the incumbent, what was cut off with which bound, and the open nodes."""

    def __init__(
        self, model: Model, pool: Pool, effort: Effort, on_grid: bool = False, best: Vote | None = None
    ) -> None:
        self.model, self.pool, self.effort, self.on_grid = model, pool, effort, on_grid
        self.best = best
        self.cut = -np.inf  # the highest bound among what was cut off
        self.nodes = 0
        self.open: list[_Node] = []
        self.made = 0
        self.tried: set[bytes] = set()
        self.place = np.full(len(model.high), -1)  # of a gauge in `over`
        self.over = np.zeros((0, 0), dtype=np.bool_)  # which gauges stand in for which; known from the first split on

    def run(self) -> Found:
        """Search until the gap is within the tolerance, or the effort is spent."""
        model = self.model
        usable = np.flatnonzero(model.high > 0)
        self.prices = first_prices(model, self.pool.pieces, usable)
        if model.previous is not None:  # what keeps most votes in place; no search is needed to know it
            stays = np.minimum(model.previous, model.high)[usable]
            self._try(np.sort(usable[np.argsort(-stays, kind="stable")[: model.count]]), self.prices)
        self._push(np.inf, usable, np.zeros(len(usable), dtype=np.bool_), self.prices)
        while self.open and not self.effort.is_spent(self.nodes, self._highest(), self._floor()):
            node = heapq.heappop(self.open)
            if not self._is_cut(-node.order[0]):
                self._bound(node)
        bound = self._highest()
        return Found(self.best, bound + ERROR * abs(bound), self.nodes, self.prices, self.pool)

    def _highest(self) -> float:
        """The bound as it is: of what was cut off, found, and is still open."""
        still = -self.open[0].order[0] if self.open else -np.inf
        return max(self.cut, self._floor(), still)

    def _push(self, bound: float, gauges: Codes, forced: Flags, prices: Prices) -> None:
        self.made += 1
        heapq.heappush(self.open, _Node((-bound, self.made), gauges, forced, prices))

    def _floor(self) -> float:
        return -np.inf if self.best is None else self.best.value

    def _enough(self) -> float:
        """The bound at which a node is not worth a look."""
        best = self.best
        return -np.inf if best is None else best.value + self.effort.tolerance * max(abs(best.value), LITTLE)

    def _is_cut(self, bound: float) -> bool:
        """Whether nothing under this bound is worth a look; the bound is remembered if so."""
        if bound > self._enough():
            return False
        self.cut = max(self.cut, bound)
        return True

    def _bound(self, node: _Node) -> None:
        """Bound a node: at its parent's multipliers first, which often decides most of its gauges, then at its own."""
        self.nodes += 1
        gauges, forced, prices, limit = node.gauges, node.forced, node.prices, -node.order[0]
        for turn in range(20):
            settled_on = self._settle(gauges, forced)
            if settled_on is None:
                return
            gauges, forced = settled_on
            found = self._relaxed(gauges, forced, prices, turn)
            if turn:
                self.pool.used(found.prices.share)
            prices, limit = found.prices, min(limit, found.bound)
            rest = found.bound - float(found.gain[found.chosen].sum())
            for support in found.supports:
                if rest + float(found.gain[support].sum()) > self._floor():
                    self._try(gauges[support], prices)
            if self._is_cut(limit):
                return
            gauges, forced, found = self._shrink(gauges, forced, found)
            if self.nodes == 1 and turn == 0:
                needed = contenders(self.model, gauges) | forced
                gauges, forced, found = gauges[needed], forced[needed], found.take(needed)
            if is_separable(self.model, self.pool):
                break
            if turn and not self._is_missing(gauges, found):
                break
        if self.nodes == 1:
            self.prices = prices
            gauges, forced, found = self._rank(gauges, forced, found)
        self._split(gauges, forced, found, prices, limit)

    def _relaxed(self, gauges: Codes, forced: Flags, prices: Prices, turn: int) -> Relaxed:
        pieces = self.pool.pieces
        if turn == 0:
            return relax(self.model, pieces, gauges, forced, prices, self.on_grid)
        enough = self._enough()  # a node that is split all the same needs no last digits, the first one has all others'
        plenty = enough if self.nodes > 1 else np.inf
        return relax_all(self.model, pieces, gauges, forced, prices, self.on_grid, enough, plenty)

    def _rank(self, gauges: Codes, forced: Flags, found: Relaxed) -> tuple[Codes, Flags, Relaxed]:
        """Without the gauges that enough others can stand in for; who stands in for whom among the rest is kept.

        Asked when the first node must be split, of the gauges it left open: most searches end before.
        """
        needed, over = order(self.model, gauges)
        needed |= forced
        self.over = over[np.ix_(needed, needed)]
        self.place[gauges[needed]] = np.arange(int(needed.sum()))
        return gauges[needed], forced[needed], found.take(needed)

    def _settle(self, gauges: Codes, forced: Flags) -> tuple[Codes, Flags] | None:
        """Without gauges whose stand-ins are out; with the stand-ins of forced ones, and what no limit can do without.

        Some best allocation votes for every stand-in of each of its gauges. None where nothing can fit.
        """
        while True:
            needed = may_fit(self.model, gauges, forced)
            if needed is None:
                return None
            if not len(self.over):
                return gauges, needed
            at = np.asarray(self.place[gauges])
            out = np.ones(len(self.over), dtype=np.bool_)
            out[at] = False
            gone = np.asarray(self.over[out].any(axis=0))[at]
            if (gone & needed).any():
                return None
            needed |= np.asarray(self.over[:, at[needed]].any(axis=1))[at]
            if not gone.any() and (needed == forced).all():
                return gauges, forced
            gauges, forced = gauges[~gone], needed[~gone]

    def _is_missing(self, gauges: Codes, found: Relaxed) -> bool:
        """Whether a piece that the relaxation breaks was missing; it is added."""
        model = self.model
        rates = model.rewards[:, gauges] * (found.x / (model.votes[:, gauges] + found.x))
        return self.pool.add(model.risk, np.asarray(rates @ found.level))

    def _try(self, gauges: Codes, prices: Prices) -> Prices:
        """The best votes on some gauges become the incumbent if they are worth more; their multipliers."""
        key = gauges.tobytes()
        if key in self.tried:
            return prices
        self.tried.add(key)
        filled = fill(self.model, self.pool, gauges, prices, self._floor())
        if filled is None:
            return prices
        vote: Vote | None = filled[0]
        if vote is not None and self.on_grid:
            vote = whole(self.model, self.pool.pieces, vote)
            vote = vote if self.model.moved(vote) <= 1 - self.model.keep + 1e-9 * self.model.grid else None
        if vote is not None and vote.value > self._floor():
            self.best = vote
        return filled[1]

    def _shrink(self, gauges: Codes, forced: Flags, found: Relaxed) -> tuple[Codes, Flags, Relaxed]:
        """Without the gauges that no better allocation uses, and with those forced that each of them uses.

        Flipping a gauge in the dual's sum bounds every allocation that decides it the other way.
        """
        is_full = int(found.chosen.sum()) >= self.model.count
        gain, inside, outside = found.gain, ~forced & found.chosen, ~forced & ~found.chosen
        weakest = max(float(gain[inside].min()), 0.0) if is_full and inside.any() else 0.0
        next_best = max(float(gain[outside].max()), 0.0) if is_full and outside.any() else 0.0
        if_in = np.where(outside, found.bound - weakest + gain, np.inf)
        if_out = np.where(inside, found.bound - np.maximum(gain, 0.0) + next_best, np.inf)
        enough = self._enough()
        gone, kept = if_in <= enough, if_out <= enough
        for cut in (if_in[gone], if_out[kept]):
            self.cut = max(self.cut, float(cut.max(initial=-np.inf)))
        stays = ~gone
        forced = forced | kept
        if int(forced.sum()) >= self.model.count:
            stays &= forced
        return gauges[stays], forced[stays], found.take(stays)

    def _split(self, gauges: Codes, forced: Flags, found: Relaxed, prices: Prices, limit: float) -> None:
        """One gauge in and out; where nothing is left to choose, the best votes on these gauges and their own bound.

        Under a turnover limit first a gauge that held votes: which of them stay is what the relaxation is wrong about.
        """
        if forced.all():
            self._leaf(gauges, forced, prices, limit)
            return
        undecided = np.where(forced, np.inf, np.abs(found.level - 0.5))
        held = np.zeros(len(gauges), dtype=np.bool_)
        if self.model.previous is not None:
            held = (self.model.previous[gauges] > 0) & (undecided < 0.5 - DECIDED)
        branch = int(np.lexsort((np.abs(found.gain), undecided, ~held))[0])
        within = forced.copy()
        within[branch] = True
        others = np.arange(len(gauges)) != branch
        self._push(limit, gauges, within, prices)
        self._push(limit, gauges[others], forced[others], prices)

    def _leaf(self, gauges: Codes, forced: Flags, prices: Prices, limit: float) -> None:
        if not fits(self.model, gauges):
            return
        prices = self._try(gauges, prices)
        model = settled(self.model, gauges)
        pieces, on_grid = self.pool.pieces, self.on_grid
        limit = min(limit, relax(model, pieces, gauges, forced, prices, on_grid).bound)
        if not self._is_cut(limit):
            own = relax_all(model, pieces, gauges, forced, prices, on_grid, self._enough())
            self.cut = max(self.cut, min(limit, own.bound))


def first_prices(model: Model, pieces: Pieces, gauges: Codes) -> Prices:
    """A guess: the marginal value of an equal share on the gauges that pay most for it."""
    share = np.full(len(pieces.ids), 1 / len(pieces.ids))
    curve = model.curve(gauges, np.asarray(share @ pieces.mixes))
    equal = np.maximum(1 / max(min(model.count, len(gauges)), 1), model.low[gauges])
    best = np.argsort(-curve.value(equal), kind="stable")[: model.count]
    slope = curve.slope(equal)[best]
    return Prices(max(float(np.median(slope)), 1e-6), 0.0, share, pieces.ids)
