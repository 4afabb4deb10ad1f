"""A valid upper bound of a node of the search, and what it says about each of its gauges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decide.voting.optimum.curve import Codes, Flags, Floats
from decide.voting.optimum.dual import Least, least_price
from decide.voting.optimum.interior import Interior, Relaxation
from decide.voting.optimum.model import Model
from decide.voting.optimum.pieces import Pieces, Pool


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


def is_separable(model: Model, pool: Pool) -> bool:
    """Whether one price settles everything: one piece, no turnover limit."""
    return len(pool.pieces.ids) == 1 and pool.is_whole and model.previous is None


def relax(model: Model, pieces: Pieces, gauges: Codes, forced: Flags, start: Prices, on_grid: bool) -> Relaxed:
    """The dual's least value over the price alone, at the other multipliers given."""
    share = start.on(pieces)
    curve = model.curve(gauges, np.asarray(share @ pieces.mixes))
    stay = start.stay if model.previous is not None else 0.0
    least = least_price(curve, model.limits(gauges, forced, on_grid), start.price, stay)
    return _described(least, float(share @ pieces.offsets), Prices(least.best.price, stay, share, pieces.ids))


def relax_all(
    model: Model, pieces: Pieces, gauges: Codes, forced: Flags, start: Prices, on_grid: bool
) -> Relaxed | None:
    """The dual's least value over all multipliers. None where the multipliers are not found."""
    centre = interior(model, pieces, gauges, forced, start).run()
    if centre is None:
        return None
    prices = Prices(centre.price, centre.stay, centre.share, pieces.ids)
    found = relax(model, pieces, gauges, forced, prices, on_grid)
    best = np.argsort(-(centre.z + forced), kind="stable")[: model.count]
    likely = np.sort(best[centre.z[best] > 0.01])
    supports = {s.tobytes(): s for s in (likely, *found.supports)}
    return Relaxed(found.bound, found.prices, found.gain, centre.x, found.chosen, centre.z, tuple(supports.values()))


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


def _described(least: Least, offset: float, prices: Prices) -> Relaxed:
    best, below, above = least.best, least.below, least.above
    share = least.share()
    level = share * below.chosen + (1 - share) * above.chosen
    supports = {point.chosen.tobytes(): point.chosen for point in (below, above)}
    return Relaxed(
        best.value + offset,
        prices,
        best.gain,
        best.x,
        best.chosen,
        np.asarray(level, dtype=np.float64),
        tuple(np.flatnonzero(chosen) for chosen in supports.values()),
    )
