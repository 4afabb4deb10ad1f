"""The best votes on a given set of gauges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decide.voting.optimum.curve import Codes, Flags, Floats
from decide.voting.optimum.dual import least_price
from decide.voting.optimum.interior import Centre
from decide.voting.optimum.model import Model, Vote
from decide.voting.optimum.pieces import Pieces, Pool
from decide.voting.optimum.planes import descend
from decide.voting.optimum.relax import Prices, interior

ROUNDS = 30  # of pieces that turn out to bind
SLACK = 1e-11  # of the power


def fill(model: Model, pool: Pool, gauges: Codes, start: Prices, floor: float = -np.inf) -> tuple[Vote, Prices] | None:
    """The best votes on all of some gauges, each at least the minimum, and their multipliers; None where none fit.

    Where several pieces or a turnover limit bind, votes come from the multipliers and are moved into the limits; what
    that may cost shows in the gap, because the bound does not depend on it. Votes that cannot be worth more than
    `floor` need not be the best.
    """
    if not fits(model, gauges):
        return None
    model = settled(model, gauges)
    if len(pool.pieces.ids) == 1 and pool.is_whole:
        simple = _separable(model, pool, gauges, start)
        if simple is not None:
            return simple
    best: tuple[Vote, Prices] | None = None
    for _ in range(ROUNDS):
        pieces = pool.pieces
        centre = _centre(model, pieces, gauges, start, floor)
        x = _stay(model, gauges, balance(centre.x, model.low[gauges], model.high[gauges]))
        vote = Vote(gauges, x, model.objective(gauges, x))
        if best is None or vote.value > best[0].value:
            best = vote, Prices(centre.price, centre.stay, centre.share, pieces.ids)
        returns = model.returns(gauges, x)
        hoped = float((pieces.mixes @ returns + pieces.offsets).min())
        if not pool.add(model.risk, returns) or hoped < floor:
            break
    return best


def _centre(model: Model, pieces: Pieces, gauges: Codes, start: Prices, floor: float) -> Centre:
    """The interior point method from the multipliers given, then from plain ones; cutting planes where both stick."""
    forced = np.ones(len(gauges), dtype=np.bool_)
    plain = replace(start, price=1.0, stay=0.1, share=np.ones(len(start.ids)) / len(start.ids))
    for prices in (start, plain):
        centre = interior(model, pieces, gauges, forced, prices).run(floor)
        if centre is not None and centre.is_close:
            return centre
    return descend(model, pieces, gauges, forced, start.price, start.stay, start.on(pieces))


def _separable(model: Model, pool: Pool, gauges: Codes, start: Prices) -> tuple[Vote, Prices] | None:
    """The best votes of a single piece without the turnover limit; None where they break it."""
    free = replace(model, previous=None, keep=0.0)
    everything = np.ones(len(gauges), dtype=np.bool_)
    found = least_price(free.curve(gauges, pool.pieces.mixes[0]), free.limits(gauges, everything, False), start.price)
    x = balance(found.blend(), model.low[gauges], model.high[gauges])
    if model.previous is not None and _kept(model, gauges, x) < model.keep:
        return None
    return Vote(gauges, x, model.objective(gauges, x)), Prices(found.best.price, 0.0, np.ones(1), pool.pieces.ids)


def fits(model: Model, gauges: Codes) -> bool:
    """Whether any votes on all of the gauges satisfy every limit."""
    count, high = len(gauges), model.high[gauges]
    if not count or count > model.count or model.low[gauges].sum() > 1 + 1e-12 or high.sum() < 1 - 1e-12:
        return False
    return model.previous is None or _kept(model, gauges, stayer(model, gauges)) >= model.keep - 1e-12


def may_fit(model: Model, gauges: Codes, forced: Flags) -> Flags | None:
    """`forced` and the gauges without which the turnover limit cannot hold; None where no choice can fit at all.

    At most `room` more gauges can stay, so Σ min(p, high) of the forced ones and the largest others must reach `keep`.
    """
    room = model.count - int(forced.sum())
    if room < 0 or model.low[gauges][forced].sum() > 1 + 1e-12:
        return None
    high = model.high[gauges]
    most = float(high[forced].sum() + np.sort(high[~forced])[::-1][:room].sum())
    if most < 1 - 1e-12:
        return None
    if model.previous is None:
        return forced
    stays = np.minimum(model.previous[gauges], high)
    free = np.flatnonzero(~forced)
    ranked = free[np.argsort(-stays[free], kind="stable")]
    best, left = ranked[:room], stays[ranked[room : room + 1]].sum()
    spare = float(stays[forced].sum() + stays[best].sum()) - model.keep
    if spare < -1e-12:
        return None
    needed = forced.copy()
    needed[best[stays[best] - left > spare + 1e-12]] = True
    return needed


def settled(model: Model, gauges: Codes) -> Model:
    """The model as it is for votes on all of some gauges.

    Where they can just keep what must stay, the turnover limit has no finite price. But then it only says that no vote
    that can stay moves: x ≥ p where the previous votes do not use up the power, else x ≤ p.
    """
    if model.previous is None:
        return model
    clipped = np.minimum(np.maximum(model.previous[gauges], model.low[gauges]), model.high[gauges])
    if _kept(model, gauges, stayer(model, gauges)) > model.keep + SLACK:
        return model
    low, high = model.low.copy(), model.high.copy()
    if clipped.sum() <= 1:
        low[gauges] = clipped
    else:
        high[gauges] = clipped
    return replace(model, low=low, high=high, previous=None, keep=0.0)


def stayer(model: Model, gauges: Codes) -> Floats:
    """The votes on all of the gauges that stay closest to the previous ones: clipped, then balanced."""
    assert model.previous is not None
    return balance(model.previous[gauges], model.low[gauges], model.high[gauges])


def _kept(model: Model, gauges: Codes, x: Floats) -> float:
    assert model.previous is not None
    return float(np.minimum(x, model.previous[gauges]).sum())


def _stay(model: Model, gauges: Codes, x: Floats) -> Floats:
    """x moved towards the closest votes to the previous ones until the turnover limit holds: Σ min(x, p) is concave."""
    if model.previous is None:
        return x
    now = _kept(model, gauges, x)
    if now >= model.keep:
        return x
    close = stayer(model, gauges)
    part = min((model.keep - now) / max(_kept(model, gauges, close) - now, 1e-300), 1.0)
    return np.asarray((1 - part) * x + part * close)


def balance(x: Floats, low: Floats, high: Floats) -> Floats:
    """x moved into its limits and to the sum 1, in proportion to the room; Σ low ≤ 1 ≤ Σ high."""
    x = np.minimum(np.maximum(x, low), high)
    rest = 1.0 - float(x.sum())
    room = high - x if rest > 0 else x - low
    total = float(room.sum())
    return x if total <= 0 else np.asarray(x + room * min(max(rest / total, -1.0), 1.0))
