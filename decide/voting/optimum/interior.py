"""Primal-dual interior point for the dual's multipliers: several pieces, turnover, and how many gauges.

    min over θ in the simplex, price, stay ≥ 0, seat ≥ 0, w ≥ 0 of
        c·θ + price − stay·keep + seat·count + Σ_forced (h_i − seat) + Σ_free w_i,   w_i ≥ h_i(θ, price, stay) − seat
    h_i = max f_i(x) − price·x + stay·o  over  low ≤ x ≤ high_i, o ≤ x, o ≤ p_i

The votes x that a gauge would get if chosen, and o of them that stay, are unknowns too; the multipliers z of
w_i ≥ h_i − seat say how much of it is chosen. A step costs O(n·(S + J²)), because gauges meet only in J + 3 unknowns.
Any multipliers give a bound in decide.voting.optimum.dual: nothing here has to be exact.
Source: Mehrotra (1992), SIAM Journal on Optimization 2(4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decide.voting.optimum.curve import Curve, Flags, Floats

STEPS = 60
CLOSE = 1e-11
FAR = 1e9  # multipliers beyond this price nothing: values are near 1
START = 0.005  # of the value, which is near 1: how far from complementary the first point is


@dataclass(frozen=True)
class Relaxation:
    """n gauges in S scenarios and J pieces. `previous` is None without a turnover limit."""

    votes: Floats  # (S, n)
    rewards: Floats  # (S, n)
    low: Floats  # (n,)
    high: Floats  # (n,)
    forced: Flags  # (n,)
    count: int
    mixes: Floats  # (J, S)
    offsets: Floats  # (J,)
    previous: Floats | None  # (n,)
    keep: float


@dataclass(frozen=True)
class Centre:
    """What the iterations end with: multipliers, and votes x and choice z (n,) of the relaxation."""

    share: Floats  # (J,)
    price: float
    stay: float
    x: Floats
    z: Floats
    is_close: bool  # every condition holds nearly


@dataclass(frozen=True)
class Step:
    """A step of the unknowns y = (θ, price, stay, seat), and of the slacks and multipliers of three kinds of rows."""

    y: Floats
    x: Floats
    o: Floats
    slack: tuple[Floats, Floats, Floats]  # x and o within their limits (4, n); w and z of free gauges (2, m); signs
    dual: tuple[Floats, Floats, Floats]


class Interior:
    """One run; y = (θ_1 .. θ_J, price, stay, seat), the last two only where they can bind.

    Rows: votes x − low, high − x, x − o, p − o, (4, n); choice w and w − h + seat of free gauges, (2, m); signs of y.
    """

    def __init__(self, given: Relaxation, price: float, stay: float, share: Floats) -> None:
        self.given = given
        self.pieces = len(given.offsets)
        self.free = np.flatnonzero(~given.forced)
        self.open = given.count - int(given.forced.sum())
        self.limited = given.previous is not None
        self.seated = 0 < self.open < len(self.free)
        self.size = self.pieces + 1 + self.limited + self.seated
        self.signed = np.array([j for j in range(self.size) if j != self.pieces])  # the price alone may be any number
        n = len(given.high)
        self.high = np.maximum(given.high, given.low * (1 + 1e-6))
        self.previous = np.zeros(n) if given.previous is None else given.previous
        old = self.previous > 0
        self.active = np.array([np.ones(n, dtype=np.bool_), np.ones(n, dtype=np.bool_), old, old])
        last = [-given.keep] * self.limited + [float(self.open)] * self.seated
        self.cost: Floats = np.concatenate([given.offsets, [1.0], last])
        self._start(price, stay, 0.9 * share + 0.1 / self.pieces)

    def _start(self, price: float, stay: float, share: Floats) -> None:
        """On the central path for given multipliers: every slack times its multiplier is START."""
        t, low, high = START, self.given.low, self.high
        stay = max(stay, 0.1 * abs(price), 1e-3) if self.limited else 0.0
        self.y = np.concatenate([share, [price], [stay] * self.limited, [0.0] * self.seated])
        wanted = self._curve().demand(price)
        self.x = np.clip(wanted, low + 0.05 * (high - low), high - 0.05 * (high - low))
        ahead = stay * (self.previous - self.x)
        self.o = np.where(self.active[2], self.x - (2 * t - ahead + np.hypot(ahead, 2 * t)) / (2 * max(stay, t)), 0.0)
        self._evaluate()
        gain = self.h[self.free]
        if self.seated:
            ranked = np.sort(gain)[::-1]
            self.y[-1] = max(0.5 * float(ranked[self.open - 1] + ranked[self.open]), 0.01)
        gain = gain - self._seat()
        more = 0.5 * (np.abs(gain) + np.hypot(gain, 2 * t))
        less = t * t / more  # w − t and w − gain − t are these two, whichever way round
        w, a = t + np.where(gain > 0, more, less), t + np.where(gain > 0, less, more)
        self.slack = (np.where(self.active, np.maximum(self._rows(), 1e-9), 1.0), np.array([w, a]), self.y[self.signed])
        self.dual = (np.where(self.active, t / self.slack[0], 0.0), t / self.slack[1], t / self.slack[2])

    def _seat(self) -> float:
        return float(self.y[-1]) if self.seated else 0.0

    def _curve(self) -> Curve:
        given = self.given
        mix = np.asarray(self.y[: self.pieces] @ given.mixes)
        return Curve.of(given.votes, given.rewards, mix, given.low, self.high)

    def _rows(self) -> Floats:
        x, o = self.x, self.o
        return np.array([x - self.given.low, self.high - x, x - o, self.previous - o])

    def _evaluate(self) -> None:
        """The gains h (n,), their gradient in y, and how it turns with x."""
        given, pieces, x = self.given, self.pieces, self.x
        price = float(self.y[pieces])
        stay = float(self.y[pieces + 1]) if self.limited else 0.0
        share = self.y[:pieces]
        near = 1 / (given.votes + x)
        rates = given.rewards * near
        worth = given.mixes @ (rates * x)
        rise = rates * given.votes * near
        rises = given.mixes @ rise
        self.h = share @ worth - price * x + stay * self.o
        self.drift = share @ rises - price  # of the gain in x, without the limits
        self.curl = 2 * ((share @ given.mixes) @ (rise * near))
        self.gradient = np.zeros((self.size, len(x)))
        self.gradient[:pieces], self.gradient[pieces] = worth, -x
        self.turn = np.zeros((self.size, len(x)))
        self.turn[:pieces], self.turn[pieces] = rises, -1.0
        if self.limited:
            self.gradient[pieces + 1] = self.o
        if self.seated:
            self.gradient[-1, self.free] = -1.0

    def run(self) -> Centre | None:
        """Iterate until the complementarity is near zero, the steps die, or `STEPS`; None where it breaks down."""
        with np.errstate(all="ignore"):  # a step that overflows ends the iterations
            self._iterate(int(self.active.sum()) + 2 * len(self.free) + len(self.signed))
        if not np.isfinite(self.y).all() or not np.isfinite(self.x).all() or np.abs(self.y).max() > FAR:
            return None
        z = np.ones(len(self.high))
        z[self.free] = self.dual[1][1]
        share = np.maximum(self.y[: self.pieces], 0.0)
        stay = max(float(self.y[self.pieces + 1]), 0.0) if self.limited else 0.0
        return Centre(share / share.sum(), float(self.y[self.pieces]), stay, self.x, z, self.error < 1e-7)

    def _iterate(self, total: int) -> None:
        for self.steps in range(STEPS):
            near = self._product(None, 0.0, 0.0) / total
            self._factor()
            if (near < CLOSE and self.error < 1e-9) or not np.isfinite(self.system).all():
                break
            affine = self._direction(0.0, None)
            after = self._product(affine, *self._lengths(affine, 1.0)) / total
            move = self._direction(near * min((after / near) ** 3, 1.0), affine)
            lengths = self._lengths(move, 0.99)
            if max(lengths) < 1e-8 or not np.isfinite(move.y).all():
                break
            self._move(move, *lengths)

    def _factor(self) -> None:
        """The matrix that couples the unknowns, and how far each condition is from holding."""
        free, pieces = self.free, self.pieces
        self.ratio = tuple(dual / slack for dual, slack in zip(self.dual, self.slack, strict=True))
        low, high, e, g = self.ratio[0]
        self.loose = np.where(self.active[2], 1 / np.where(self.active[2], e + g, 1.0), 0.0)
        self.stiff = self.curl + low + high + e * g * self.loose
        self.chosen = np.ones(len(self.h))
        self.chosen[free] = self.dual[1][1]
        self.rows = self.gradient[:, free]
        if self.limited:
            self.turn[pieces + 1] = e * self.loose
        self.bent = self.turn * (self.chosen / self.stiff)
        over, under = self.ratio[1]
        self.both = over + under
        couple = self.bent @ self.turn.T + (self.rows * (over * under / self.both)) @ self.rows.T
        if self.limited:
            couple[pieces + 1, pieces + 1] += float((self.chosen * self.loose).sum())
        couple[self.signed, self.signed] += self.ratio[2]
        size = self.size
        self.system = np.zeros((size + 1, size + 1))
        self.system[:size, :size] = couple
        self.system[:pieces, size] = self.system[size, :pieces] = -1.0
        self._gaps()

    def _gaps(self) -> None:
        """How far each condition is from holding."""
        slack, dual = self.slack, self.dual
        self.gap = np.where(self.active, self._rows() - slack[0], 0.0)
        self.gap_a = slack[1][0] - self.h[self.free] + self._seat() - slack[1][1]
        self.sum_gap = float(self.y[: self.pieces].sum()) - 1.0
        self.base = self.cost + self.gradient @ np.where(self.given.forced, 1.0, 0.0)
        stationary = self.base + self.rows @ dual[1][1]
        stationary[self.signed] -= dual[2]
        stationary[: self.pieces] -= stationary[: self.pieces].mean()
        drift = self.drift + dual[0][0] - dual[0][1] + dual[0][2]
        parts = (self.gap, self.gap_a, stationary, drift * self.x)
        self.error = max(abs(self.sum_gap), *(float(np.abs(part).max(initial=0.0)) for part in parts))

    def _direction(self, target: float, before: Step | None) -> Step:
        """The Newton step to complementarity `target`, corrected for the products of the step `before`."""
        slack, dual, ratio, pieces = self.slack, self.dual, self.ratio, self.pieces
        aims = [(target - (0.0 if before is None else before.slack[k] * before.dual[k])) / slack[k] for k in range(3)]
        push = np.where(self.active, aims[0] - ratio[0] * self.gap, 0.0)
        stay = float(self.y[pieces + 1]) if self.limited else 0.0
        pull = np.where(self.active[2], stay - push[2] - push[3], 0.0) * self.loose
        lean = self.drift + push[0] - push[1] + push[2] + ratio[0][2] * pull
        over, under = ratio[1]
        excess = aims[1][0] + aims[1][1] - 1.0
        fixed = aims[1][1] - under * (excess + over * self.gap_a) / self.both
        right = np.empty(self.size + 1)
        right[:-1] = -self.base - self.rows @ fixed - self.bent @ lean
        if self.limited:
            right[pieces + 1] -= float(self.chosen @ pull)
        right[self.signed] += aims[2]
        right[-1] = self.sum_gap
        dy = solve(self.system, right)[:-1]
        dx = (lean + dy @ self.turn) / self.stiff
        do = pull + self.loose * (ratio[0][2] * dx + (dy[pieces + 1] if self.limited else 0.0))
        along = dy @ self.rows
        dw = (excess + under * (along - self.gap_a)) / self.both
        local = np.where(self.active, np.array([dx, -dx, dx - do, -do]) + self.gap, 0.0)
        slacks = (local, np.array([dw, dw - along + self.gap_a]), dy[self.signed])
        duals = tuple(aims[k] - dual[k] - ratio[k] * slacks[k] for k in range(3))
        return Step(dy, dx, do, slacks, (np.where(self.active, duals[0], 0.0), duals[1], duals[2]))

    def _lengths(self, step: Step, share: float) -> tuple[float, float]:
        """How far the slacks and the multipliers may go before one of them is used up."""
        fall = max(float((-d / s).max(initial=0.0)) for d, s in zip(step.slack, self.slack, strict=True))
        duals = (np.where(self.active, self.dual[0], 1.0), self.dual[1], self.dual[2])
        rise = max(float((-d / s).max(initial=0.0)) for d, s in zip(step.dual, duals, strict=True))
        return min(1.0, share / max(fall, 1e-12)), min(1.0, share / max(rise, 1e-12))

    def _product(self, step: Step | None, slack: float, dual: float) -> float:
        if step is None:
            return sum(float((s * d).sum()) for s, d in zip(self.slack, self.dual, strict=True))
        parts = zip(self.slack, step.slack, self.dual, step.dual, strict=True)
        return sum(float(((s + slack * ds) * (d + dual * dd)).sum()) for s, ds, d, dd in parts)

    def _move(self, step: Step, slack: float, dual: float) -> None:
        """Go along a step; w makes up for what h grows beyond its tangent."""
        self.y = self.y + slack * step.y
        self.x = self.x + slack * step.x
        self.o = self.o + slack * step.o
        moved = [s + slack * ds for s, ds in zip(self.slack, step.slack, strict=True)]
        self.dual = tuple(d + dual * dd for d, dd in zip(self.dual, step.dual, strict=True))
        self._evaluate()
        moved[1][0] = np.maximum(moved[1][0], moved[1][1] + self.h[self.free] - self._seat())
        self.slack = (moved[0], moved[1], moved[2])


def solve(system: Floats, right: Floats) -> Floats:
    """The solution of a small system; of least squares where it is singular."""
    try:
        return np.asarray(np.linalg.solve(system, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(system, right, rcond=None)[0])
