"""Cutting planes for the dual's multipliers, where the interior point method gets stuck.

    min over price, stay ≥ 0, θ in the simplex of D(price, stay, θ) = max over votes of a function linear in all three

The votes that attain D at some multipliers make a plane g·y that D is nowhere below. The lowest point of the planes
found so far, within a box around the best multipliers, is a small linear program; its own multipliers mix the votes of
the planes into nearly feasible ones. Slower than Newton steps, but nothing here is ill-conditioned: where prices are
degenerate (votes that stay and votes worth the same, several pieces level) there are just several planes.
Sources: Kelley (1960), Journal of SIAM 8(4); Marsten, Hogan & Blankenship (1975), Operations Research 23(3): the box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decide.voting.optimum.curve import Codes, Flags, Floats
from decide.voting.optimum.dual import Point, at
from decide.voting.optimum.interior import Centre
from decide.voting.optimum.model import Model
from decide.voting.optimum.pieces import Pieces

ROUNDS = 150
CLOSE = 1e-10  # of the value of the dual, which is near 1
FAR = 1e6  # no allocation is worth as little as −FAR
BOX = 0.1  # how far the first step may go, in parts of the largest multiplier


@dataclass(frozen=True)
class _Plane:
    """g (J + 2,) of y = (price, stay, θ), and the votes (n,) and choice (n,) that it comes from."""

    slopes: Floats
    x: Floats
    chosen: Flags


class _Dual:
    """D over some gauges."""

    def __init__(self, model: Model, pieces: Pieces, gauges: Codes, forced: Flags) -> None:
        self.model, self.pieces, self.gauges = model, pieces, gauges
        self.limits = model.limits(gauges, forced, False)

    def __call__(self, y: Floats) -> tuple[float, _Plane]:
        """D at multipliers, and a plane that touches it there."""
        share = y[2:]
        point = at(self.model.curve(self.gauges, share @ self.pieces.mixes), self.limits, float(y[0]), float(y[1]))
        slopes = np.array([point.slope, self._kept(point), *self._worth(point)])
        return point.value + float(share @ self.pieces.offsets), _Plane(slopes, point.x, point.chosen)

    def _kept(self, point: Point) -> float:
        previous = self.limits.previous
        if previous is None:
            return 0.0
        return float(np.minimum(point.x, previous)[point.chosen].sum()) - self.limits.keep

    def _worth(self, point: Point) -> Floats:
        on = self.gauges[point.chosen]
        return np.asarray(self.pieces.mixes @ self.model.returns(on, point.x[point.chosen]) + self.pieces.offsets)


def descend(
    model: Model,
    pieces: Pieces,
    gauges: Codes,
    forced: Flags,
    price: float,
    stay: float,
    share: Floats,
    enough: float = -FAR,
) -> Centre:
    """The multipliers of the least D found from some to start from, and the mixed votes that go with them.

    It ends where D is at most `enough`; where no allocation fits, D falls without end.
    """
    dual = _Dual(model, pieces, gauges, forced)
    best = np.concatenate([[price], [max(stay, 0.0) if model.previous is not None else 0.0], share])
    value, plane = dual(best)
    planes, box, mix = [plane], BOX * max(float(np.abs(best).max()), 1e-3), np.ones(1)
    is_close = False
    for _ in range(ROUNDS):
        found = _lowest(planes, best, value, box, model.previous is not None)
        if found is None or box > FAR or value <= enough:
            break
        step, lowest, mix, is_inside = found
        if value - lowest <= CLOSE * max(abs(value), 1.0):
            is_close = is_inside
            if is_inside:
                break
            box *= 4
            continue
        new, plane = dual(best + step)
        planes.append(plane)
        if value - new >= 0.1 * (value - lowest):
            box *= 2 if not is_inside else 1
        else:
            box *= 0.5
        if new < value:
            best, value = best + step, new
    level = sum(weight * plane.chosen for weight, plane in zip(mix, planes, strict=False))
    votes = sum(weight * np.where(plane.chosen, plane.x, 0.0) for weight, plane in zip(mix, planes, strict=False))
    x = np.where(level > 1e-9, votes / np.maximum(level, 1e-9), planes[-1].x)
    return Centre(best[2:], float(best[0]), float(best[1]), x, np.minimum(level, 1.0), is_close)


def _lowest(
    planes: list[_Plane], best: Floats, value: float, box: float, limited: bool
) -> tuple[Floats, float, Floats, bool] | None:
    """Where the planes are lowest in the box: the step there, their value, their weights, whether it is inside.

    In parts of the box and of the largest fall, so that the program's tolerance of 1e-7 is one of what is left to gain.
    """
    slopes = np.array([plane.slopes for plane in planes])
    heights = slopes @ best - value
    unit = max(float(np.abs(heights).min()), 1e-13) + box * 1e-6
    size = len(best)
    reach = np.full(size, box)
    reach[2:] = min(box, 1.0)
    low, high = np.full(size, -1.0), np.ones(size)
    low[1:] = np.maximum(low[1:], -best[1:] / reach[1:])
    high[1] = 1.0 if limited else 0.0
    from scipy.optimize import linprog  # half a second of a command's start, for what few allocations need

    found = linprog(
        np.append(np.zeros(size), 1.0),
        np.hstack([slopes * (reach / unit), -np.ones((len(planes), 1))]),
        -heights / unit,
        np.concatenate([[0.0, 0.0], np.ones(size - 2), [0.0]])[None, :],
        np.zeros(1),
        [*zip(low, high, strict=True), (None, None)],
        method="highs-ds",
    )
    if found.x is None or found.status != 0:
        return None
    after = best + found.x[:-1] * reach
    after[1:] = np.maximum(after[1:], 0.0)
    after[2:] /= after[2:].sum()
    weights = np.maximum(-found.ineqlin.marginals, 0.0)
    inside = np.abs(found.x[:-1]) < 1 - 1e-9
    is_inside = bool(inside[:2].all() and (inside[2:].all() or box >= 1))
    return after - best, value + float(found.x[-1]) * unit, weights / weights.sum(), is_inside
