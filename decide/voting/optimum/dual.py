"""The Lagrangian dual of the allocation for one mix of scenarios, and its least value over the price of a vote.

    D(price, stay) = price − stay·keep + Σ_forced h_i + Σ of the (count − forced) largest (h_i)+ of the free gauges
    h_i = max over low ≤ x ≤ high_i of f_i(x) − price·x + stay·min(x, p_i)

The on/off choice, the minimum, the caps and the number of gauges stay inside. `stay` ≥ 0 prices the votes that must
stay where they were, Σ min(x, p) ≥ keep = 1 − max_turnover, which is the turnover limit because Σ x = Σ p = 1. D is
convex in both, and an upper bound for any of them; over the price alone it is the relaxation by perspective functions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum

import numpy as np

from decide.voting.optimum.curve import Curve, Flags, Floats

PRECISE = 1e-12  # of the value of the dual, which is near 1
SEARCHES = 200
ERROR = 2.0**-47  # relative: the roundings between the numbers given and a gain are under 64 in a row


@dataclass(frozen=True)
class Limits:
    """What couples n gauges: `count` at most, the forced ones among them; previous shares; the grid of votes."""

    forced: Flags  # (n,)
    count: int
    previous: Floats | None = None  # (n,) p, summing to at most 1; None without a turnover limit
    keep: float = 0.0
    grid: float = 0.0  # one unit of votes, if votes must be multiples of it; 0 for the continuous problem


@dataclass(frozen=True)
class Point:
    """The dual at one price: value, slope in the price, votes x, gains h and the chosen gauges (n,)."""

    price: float
    value: float
    slope: float
    x: Floats
    gain: Floats
    chosen: Flags
    bend: float  # how fast demand falls with the price, Σ 1/(−f'') over the chosen gauges inside their limits


def at(curve: Curve, limits: Limits, price: float, stay: float) -> Point:
    """D and its parts at a price and a stay price, as precise as floats are: what a search for the least is led by."""
    x = _wanted(curve, limits, price, stay)
    if limits.grid > 0:
        near = _neighbours(curve, limits, x)
        gains = [_gain(curve, limits, price, stay, y) for y in near]
        return _sum(curve, limits, price, stay, np.where(gains[1] > gains[0], near[1], near[0]), np.maximum(*gains))
    return _sum(curve, limits, price, stay, x, _gain(curve, limits, price, stay, x))


def ceiling(curve: Curve, limits: Limits, price: float, stay: float) -> Point:
    """The same from above: no h_i and no value of it is below its exact one, whatever rounding did on the way.

    A concave function is nowhere above its tangent, so h_i is at most its value at any votes and what the slopes there
    still promise on both sides; both with the error that floats can have. The gains are added exactly.
    """
    x = _wanted(curve, limits, price, stay)
    near = _neighbours(curve, limits, x) if limits.grid > 0 else (x, x)
    gain = np.maximum(*(_tangent(curve, limits, price, stay, y, side) for y, side in zip(near, (-1, 1), strict=True)))
    point = _sum(curve, limits, price, stay, x, gain)
    return replace(point, value=point.value + ERROR * (abs(price) + stay * limits.keep))


def _wanted(curve: Curve, limits: Limits, price: float, stay: float) -> Floats:
    """The votes (n,) that attain h: between the demand at the price and that at the price of votes that stay."""
    free = curve.demand(price)
    if limits.previous is None or stay <= 0:
        return free
    held = np.minimum(np.maximum(free, limits.previous), curve.demand(price - stay))
    return np.asarray(np.minimum(np.maximum(held, curve.low), curve.high))


def _neighbours(curve: Curve, limits: Limits, x: Floats) -> tuple[Floats, Floats]:
    """Whole units next to votes: where a concave function over units is largest, if x is where it is without them."""
    lower = np.floor(x / limits.grid + 1e-9) * limits.grid
    low, high = (np.minimum(np.maximum(lower + step, curve.low), curve.high) for step in (0.0, limits.grid))
    return low, high


def _gain(curve: Curve, limits: Limits, price: float, stay: float, x: Floats) -> Floats:
    gain = curve.value(x) - price * x
    if limits.previous is not None and stay > 0:
        gain += stay * np.minimum(x, limits.previous)
    return gain


def _tangent(curve: Curve, limits: Limits, price: float, stay: float, x: Floats, side: int) -> Floats:
    """The most that gains can be on one side of x: below it (−1) or above (+1)."""
    worth, slope = curve.value(x), curve.slope(x)
    kept, rest = np.zeros(len(x)), np.zeros(len(x))
    if limits.previous is not None and stay > 0:
        kept += stay * np.minimum(x, limits.previous)
        rest[(x < limits.previous) if side > 0 else (x <= limits.previous)] = stay
    promise = side * (slope - price + rest) + ERROR * (slope + abs(price) + stay)
    room = curve.high - x if side > 0 else x - curve.low
    return np.asarray(
        worth - price * x + kept + ERROR * (worth + abs(price) * x + kept) + np.maximum(promise, 0.0) * room
    )


def _sum(curve: Curve, limits: Limits, price: float, stay: float, x: Floats, gain: Floats) -> Point:
    chosen = choose(gain, limits)
    value = fsum([price, -stay * limits.keep, *gain[chosen].tolist()])
    slope = 1.0 - float(x[chosen].sum())
    inside = chosen & (x > curve.low) & (x < curve.high)
    if limits.previous is not None and stay > 0:
        inside &= x != limits.previous
    bends = curve.take(inside).bend(x[inside])
    bend = float((1 / bends[bends > 1e-12]).sum())
    return Point(price, value, slope, x, gain, chosen, bend)


def choose(gain: Floats, limits: Limits) -> Flags:
    """The forced gauges and the best free ones that gain, `count` in all; ties go to the first."""
    wanted = (gain > 0) | limits.forced
    if int(np.count_nonzero(wanted)) <= limits.count:
        return wanted
    rank = np.where(limits.forced, np.inf, gain)
    best = np.argsort(-rank, kind="stable")[: limits.count]
    chosen = np.zeros(len(gain), dtype=np.bool_)
    chosen[best] = True
    return chosen


@dataclass(frozen=True)
class Least:
    """The least value over the price: the better end, and the two ends between which the slope changes sign."""

    best: Point
    below: Point  # demand at least the power
    above: Point  # demand at most the power

    def share(self) -> float:
        """The weight of `below` with which the demands of both ends sum to the power."""
        low, high = -self.below.slope, self.above.slope
        return 1.0 if low + high <= 0 else high / (low + high)

    def blend(self) -> Floats:
        """Votes (n,) of both ends mixed so that they sum to the power; exact where both chose the same gauges."""
        share = self.share()
        return np.asarray(
            share * np.where(self.below.chosen, self.below.x, 0.0)
            + (1 - share) * np.where(self.above.chosen, self.above.x, 0.0)
        )


def least_price(curve: Curve, limits: Limits, guess: float, stay: float = 0.0) -> Least:
    """min over the price of D; where D falls without end (no allocation fits), a value far below any objective.

    Newton in price^(−1/2), where demand is nearly linear, kept inside the bracket; where it leaves the bracket, the two
    tangents' intersection, which finds a kink (a change of the chosen gauges) in one step.
    """
    below, above, last = _bracket(curve, limits, at(curve, limits, guess, stay), stay)
    if not below.slope <= 0 <= above.slope:
        return Least(last, last, last)
    for turn in range(SEARCHES):
        cut = _tangents(below, above)
        best = min(below.value, above.value)
        if below.slope == 0 or above.slope == 0 or best - cut[1] <= PRECISE * abs(best):
            break
        price = _newton(last)
        if turn % 3 == 2 or not below.price < price < above.price:
            price = cut[0]
        if not below.price < price < above.price:
            price = 0.5 * (below.price + above.price)
        if not below.price < price < above.price:
            break
        last = at(curve, limits, price, stay)
        below, above = (last, above) if last.slope <= 0 else (below, last)
    return Least(below if below.value <= above.value else above, below, above)


def _bracket(curve: Curve, limits: Limits, point: Point, stay: float) -> tuple[Point, Point, Point]:
    """Points with slope ≤ 0 and ≥ 0, if there are any, and the last one. Prices below zero matter only under caps."""
    below = above = point
    step = max(abs(point.price), 1e-3)
    for turn in range(80):
        if below.slope <= 0 <= above.slope:
            break
        if above.slope < 0:
            below, price = above, _newton(above) * 1.0000001
            near = turn < 6 and above.price < price < np.inf
            point = above = at(curve, limits, price if near else above.price + step, stay)
        else:
            above, price = below, _newton(below) * 0.9999999
            if turn >= 6 or price >= below.price:
                price = below.price / 8 if turn < 14 else 0.0 if turn == 14 else -step
            point = below = at(curve, limits, price, stay)
        step *= 2
    return below, above, point


def _newton(point: Point) -> float:
    """Where demand meets the power, if it went on linearly in price^(−1/2); infinite where that says nothing."""
    if point.bend <= 0 or point.price <= 0:
        return float("inf")
    after = point.price**-0.5 + point.slope / (2 * point.price**1.5 * point.bend)
    return float(after**-2) if after > 0 else float("inf")


def _tangents(below: Point, above: Point) -> tuple[float, float]:
    """Price and value where the tangents at both ends meet: a lower bound of the least value."""
    fall = above.slope - below.slope
    if fall <= 0:
        return 0.5 * (below.price + above.price), min(below.value, above.value)
    price = (below.value - above.value + above.slope * above.price - below.slope * below.price) / fall
    return price, below.value + below.slope * (price - below.price)
