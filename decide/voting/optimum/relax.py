"""A valid upper bound of a node of the search, and what it says about each of its gauges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum

import numpy as np

from decide.voting.optimum.curve import Codes, Flags, Floats
from decide.voting.optimum.dual import ERROR, Least, Point, ceiling, least_price
from decide.voting.optimum.interior import Centre, Interior, Relaxation
from decide.voting.optimum.model import Model
from decide.voting.optimum.pieces import Pieces, Pool
from decide.voting.optimum.planes import descend


@dataclass(frozen=True)
class Prices:
    """Multipliers to start from: of a vote, of a vote that stays, of the pieces."""

    price: float
    stay: float
    share: Floats  # (J,) of the pieces with these ids
    ids: Codes

    def on(self, pieces: Pieces) -> Floats:
        """The share (J,) of each piece: of those that are gone, nothing; of all alike, if none is left."""
        places = np.minimum(np.searchsorted(self.ids, pieces.ids), len(self.ids) - 1)
        share = np.where(self.ids[places] == pieces.ids, self.share[places], 0.0)
        total = float(share.sum())
        return np.asarray(share / total if total > 0 else np.full(len(share), 1 / len(share)))


@dataclass(frozen=True)
class Relaxed:
    """The bound of a node, its multipliers, and per live gauge (n,) gain, votes, and how much of it is chosen."""

    bound: float
    prices: Prices
    gain: Floats
    x: Floats
    chosen: Flags  # the gauges whose gains the bound adds up
    level: Floats  # (n,) 0 out, 1 in, between: undecided
    supports: tuple[Codes, ...]  # gauges worth a try, as positions among the live ones

    def take(self, stays: Flags) -> Relaxed:
        """The same of some gauges, whose supports were tried."""
        return replace(
            self,
            gain=self.gain[stays],
            x=self.x[stays],
            chosen=self.chosen[stays],
            level=self.level[stays],
            supports=(),
        )


def is_separable(model: Model, pool: Pool) -> bool:
    """Whether one price settles everything: one piece, no turnover limit."""
    return len(pool.pieces.ids) == 1 and pool.is_whole and model.previous is None


def relax(model: Model, pieces: Pieces, gauges: Codes, forced: Flags, start: Prices, on_grid: bool) -> Relaxed:
    """The dual's least value over the price alone, at the other multipliers given."""
    share = start.on(pieces)
    curve, limits = model.curve(gauges, np.asarray(share @ pieces.mixes)), model.limits(gauges, forced, on_grid)
    stay = start.stay if model.previous is not None else 0.0
    least = least_price(curve, limits, start.price, stay)
    most = ceiling(curve, limits, least.best.price, stay)
    return _described(least, most, share * pieces.offsets, Prices(most.price, stay, share, pieces.ids))


def relax_all(
    model: Model,
    pieces: Pieces,
    gauges: Codes,
    forced: Flags,
    start: Prices,
    on_grid: bool,
    enough: float,
    plenty: float = np.inf,
) -> Relaxed:
    """The dual's least value over all multipliers: by interior points, by cutting planes where those get stuck.

    A bound of at most `enough` need not be the least, nor one that is well above `plenty`.
    """
    centre = interior(model, pieces, gauges, forced, start).run(enough, plenty)
    if centre is not None:
        found = _around(model, pieces, gauges, forced, centre, on_grid)
        if centre.is_close or found.bound <= enough:
            return found
        start = found.prices
    centre = descend(model, pieces, gauges, forced, start.price, start.stay, start.on(pieces), enough)
    return _around(model, pieces, gauges, forced, centre, on_grid)


def _around(model: Model, pieces: Pieces, gauges: Codes, forced: Flags, centre: Centre, on_grid: bool) -> Relaxed:
    """The bound at some multipliers, with the votes and the choice that go with them."""
    prices = Prices(centre.price, centre.stay, centre.share, pieces.ids)
    found = relax(model, pieces, gauges, forced, prices, on_grid)
    best = np.argsort(-(centre.z + forced), kind="stable")[: model.count]
    likely = np.sort(best[centre.z[best] > 0.01])
    supports = {s.tobytes(): s for s in (likely, *found.supports)}
    return replace(found, x=centre.x, level=centre.z, supports=tuple(supports.values()))


def interior(model: Model, pieces: Pieces, gauges: Codes, forced: Flags, start: Prices) -> Interior:
    """The interior point method on some gauges."""
    given = Relaxation(
        model.votes[:, gauges],
        model.rewards[:, gauges],
        model.low[gauges],
        model.high[gauges],
        forced,
        model.count,
        pieces.mixes,
        pieces.offsets,
        None if model.previous is None else model.previous[gauges],
        model.keep,
    )
    return Interior(given, start.price, start.stay, start.on(pieces))


def _described(least: Least, most: Point, offsets: Floats, prices: Prices) -> Relaxed:
    below, above = least.below, least.above
    share = least.share()
    level = share * below.chosen + (1 - share) * above.chosen
    supports = {point.chosen.tobytes(): point.chosen for point in (below, above)}
    return Relaxed(
        fsum([most.value, *offsets.tolist()]) + ERROR * float(np.abs(offsets).sum()),
        prices,
        most.gain,
        most.x,
        most.chosen,
        np.asarray(level, dtype=np.float64),
        tuple(np.flatnonzero(chosen) for chosen in supports.values()),
    )
