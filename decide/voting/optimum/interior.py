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
PLAIN = 3.0  # times what is not known yet: a value so far from where it would matter is left as it is
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
    """A step of the unknowns y = (θ, price, stay, seat), x and o, and of every row's slack and multiplier (L,)."""

    y: Floats
    x: Floats
    o: Floats
    slack: Floats
    dual: Floats


class Interior:
    """One run; y = (θ_1 .. θ_J, price, stay, seat), the last two only where they can bind.

    Rows, one after the other in vectors of length L, because a call of numpy costs more than its few numbers: votes
    x − low, high − x and, under a turnover limit, x − o, p − o, (2 or 4, n); choice w and w − h + seat of free gauges,
    (2, m); signs of y. A gauge that held nothing has no o: its rows are kept at slack 1 and multiplier 0.
    """

    def __init__(self, given: Relaxation, price: float, stay: float, share: Floats) -> None:
        self.given = given
        self.pieces = len(given.offsets)
        self.free = np.flatnonzero(~given.forced)
        self.forced = np.where(given.forced, 1.0, 0.0)
        self.open = given.count - int(given.forced.sum())
        self.limited = given.previous is not None
        self.seated = 0 < self.open < len(self.free)
        self.size = self.pieces + 1 + self.limited + self.seated
        self.signed = np.array([j for j in range(self.size) if j != self.pieces])  # the price alone may be any number
        n, m = len(given.high), len(self.free)
        self.high = np.maximum(given.high, given.low * (1 + 1e-6))
        self.kinds = 4 if self.limited else 2
        self.cuts = (self.kinds * n, self.kinds * n + 2 * m)
        self.active = np.ones(self.cuts[1] + len(self.signed))
        if given.previous is not None:
            self.previous = given.previous
            self.old = np.where(given.previous > 0, 1.0, 0.0)
            self.active[2 * n : 4 * n] = np.tile(self.old, 2)
        self.rest = 1.0 - self.active
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
        self.o = np.zeros(len(high))
        if self.limited:
            ahead = stay * (self.previous - self.x)
            self.o = self.old * (self.x - (2 * t - ahead + np.hypot(ahead, 2 * t)) / (2 * max(stay, t)))
        self._evaluate()
        gain = self.h[self.free]
        if self.seated:
            ranked = np.sort(gain)[::-1]
            self.y[-1] = max(0.5 * float(ranked[self.open - 1] + ranked[self.open]), 0.01)
        gain = gain - self._seat()
        more = 0.5 * (np.abs(gain) + np.hypot(gain, 2 * t))
        less = t * t / more  # w − t and w − gain − t are these two, whichever way round
        w, a = t + np.where(gain > 0, more, less), t + np.where(gain > 0, less, more)
        local = np.maximum(self._rows().ravel(), 1e-9)
        self.slack = np.concatenate([local, w, a, self.y[self.signed]]) * self.active + self.rest
        self.dual = self.active * (t / self.slack)

    def _seat(self) -> float:
        return float(self.y[-1]) if self.seated else 0.0

    def _stay(self) -> float:
        return float(self.y[self.pieces + 1]) if self.limited else 0.0

    def _curve(self) -> Curve:
        given = self.given
        mix = np.asarray(self.y[: self.pieces] @ given.mixes)
        return Curve.of(given.votes, given.rewards, mix, given.low, self.high)

    def _rows(self) -> Floats:
        x, o = self.x, self.o
        votes = [x - self.given.low, self.high - x]
        return np.array([*votes, x - o, self.previous - o] if self.limited else votes)

    def _evaluate(self) -> None:
        """The gains h (n,), their gradient in y, and how it turns with x."""
        given, pieces, x = self.given, self.pieces, self.x
        price, share = float(self.y[pieces]), self.y[:pieces]
        near = 1 / (given.votes + x)
        rates = given.rewards * near
        rise = rates * given.votes * near
        worth, rises = given.mixes @ (rates * x), given.mixes @ rise
        self.h = share @ worth - price * x
        self.drift = share @ rises - price  # of the gain in x, without the limits
        self.curl = 2 * ((share @ given.mixes) @ (rise * near))
        self.gradient = np.zeros((self.size, len(x)))
        self.gradient[:pieces], self.gradient[pieces] = worth, -x
        self.turn = np.zeros((self.size, len(x)))
        self.turn[:pieces], self.turn[pieces] = rises, -1.0
        if self.limited:
            self.h += self._stay() * self.o
            self.gradient[pieces + 1] = self.o
        if self.seated:
            self.gradient[-1, self.free] = -1.0

    def run(self, floor: float = -np.inf, ceiling: float = np.inf) -> Centre | None:
        """Iterate until the complementarity is near zero, the steps die, or `STEPS`; None where it breaks down.

        It may end sooner where the least value is told to lie under `floor`, or well above `ceiling`: a node of a
        search is then cut, or split, whatever its last digits.
        """
        self.floor, self.ceiling, self.is_told = floor, ceiling, False
        with np.errstate(all="ignore"):  # a step that overflows ends the iterations
            self._iterate(int(self.active.sum()))
        if not np.isfinite(self.y).all() or not np.isfinite(self.x).all() or np.abs(self.y).max() > FAR:
            return None
        z = np.ones(len(self.high))
        z[self.free] = self._choice(self.dual)[1]
        share = np.maximum(self.y[: self.pieces], 0.0)
        stay = max(self._stay(), 0.0)
        is_close = self.is_told or self.error < 1e-7
        return Centre(share / share.sum(), float(self.y[self.pieces]), stay, self.x, z, is_close)

    def _local(self, flat: Floats) -> Floats:
        return flat[: self.cuts[0]].reshape(self.kinds, -1)

    def _choice(self, flat: Floats) -> Floats:
        return flat[self.cuts[0] : self.cuts[1]].reshape(2, -1)

    def _signs(self, flat: Floats) -> Floats:
        return flat[self.cuts[1] :]

    def _iterate(self, total: int) -> None:
        for self.steps in range(STEPS):
            near = float(self.slack @ self.dual) / total
            self._factor()
            if (near < CLOSE and self.error < 1e-9) or not np.isfinite(self.system).all():
                break
            if self._tells(near * total):
                self.is_told = True
                break
            affine = self._direction(0.0, None)
            slack, dual = self._lengths(affine, 1.0)
            after = float((self.slack + slack * affine.slack) @ (self.dual + dual * affine.dual)) / total
            move = self._direction(near * min((after / near) ** 3, 1.0), affine)
            lengths = self._lengths(move, 0.99)
            if max(lengths) < 1e-8 or not np.isfinite(move.y).all():
                break
            self._move(move, *lengths)

    def _tells(self, apart: float) -> bool:
        """Whether the value, `apart` from its least at most while the conditions hold nearly, tells enough."""
        if self.error > 1e-3 * apart + 1e-7:
            return False
        value = float(self.cost @ self.y) + float(self.forced @ self.h) + float(self._choice(self.slack)[0].sum())
        return value < self.floor or value - apart > self.ceiling + PLAIN * apart

    def _factor(self) -> None:
        """The matrix that couples the unknowns, and how far each condition is from holding."""
        free, pieces, size = self.free, self.pieces, self.size
        self.ratio = self.dual / self.slack
        local = self._local(self.ratio)
        self.stiff = self.curl + local[0] + local[1]
        if self.limited:
            e, g = local[2], local[3]
            self.loose = self.old / (e + g + 1.0 - self.old)
            self.stiff = self.stiff + e * g * self.loose
            self.turn[pieces + 1] = e * self.loose
        self.chosen = np.ones(len(self.h))
        self.chosen[free] = self._choice(self.dual)[1]
        self.rows = self.gradient[:, free]
        self.bent = self.turn * (self.chosen / self.stiff)
        over, under = self._choice(self.ratio)
        self.both = over + under
        couple = self.bent @ self.turn.T + (self.rows * (over * under / self.both)) @ self.rows.T
        if self.limited:
            couple[pieces + 1, pieces + 1] += float(self.chosen @ self.loose)
        couple[self.signed, self.signed] += self._signs(self.ratio)
        self.system = np.zeros((size + 1, size + 1))
        self.system[:size, :size] = couple
        self.system[:pieces, size] = self.system[size, :pieces] = -1.0
        self._gaps()

    def _gaps(self) -> None:
        """How far each condition is from holding."""
        local, (w, a), multipliers = self._local(self.dual), self._choice(self.slack), self._choice(self.dual)[1]
        cut = self.cuts[0]
        self.gap = (self._rows().ravel() - self.slack[:cut]) * self.active[:cut]
        self.gap_a = w - self.h[self.free] + self._seat() - a
        self.sum_gap = float(self.y[: self.pieces].sum()) - 1.0
        self.base = self.cost + self.gradient @ self.forced
        stationary = self.base + self.rows @ multipliers
        stationary[self.signed] -= self._signs(self.dual)
        stationary[: self.pieces] -= stationary[: self.pieces].mean()
        drift = self.drift + local[0] - local[1]
        if self.limited:
            drift = drift + local[2]
        parts = np.concatenate([self.gap, self.gap_a, stationary, drift * self.x, [self.sum_gap]])
        self.error = float(np.abs(parts).max())

    def _direction(self, target: float, before: Step | None) -> Step:
        """The Newton step to complementarity `target`, corrected for the products of the step `before`."""
        slack, dual, ratio, pieces, cut = self.slack, self.dual, self.ratio, self.pieces, self.cuts[0]
        aims = (target if before is None else target - before.slack * before.dual) / slack
        push = self._local(aims[:cut] * self.active[:cut] - ratio[:cut] * self.gap)
        lean = self.drift + push[0] - push[1]
        if self.limited:
            pull = (self._stay() - push[2] - push[3]) * self.loose
            lean = lean + push[2] + self._local(ratio)[2] * pull
        over, under = self._choice(ratio)
        aim_w, aim_a = self._choice(aims)
        excess = aim_w + aim_a - 1.0
        fixed = aim_a - under * (excess + over * self.gap_a) / self.both
        right = np.empty(self.size + 1)
        right[:-1] = -self.base - self.rows @ fixed - self.bent @ lean
        if self.limited:
            right[pieces + 1] -= float(self.chosen @ pull)
        right[self.signed] += self._signs(aims)
        right[-1] = self.sum_gap
        dy = solve(self.system, right)[:-1]
        dx = (lean + dy @ self.turn) / self.stiff
        local = [dx, -dx]
        do = self.o
        if self.limited:
            do = pull + self.loose * (self._local(ratio)[2] * dx + dy[pieces + 1])
            local += [dx - do, -do]
        along = dy @ self.rows
        dw = (excess + under * (along - self.gap_a)) / self.both
        moved = np.concatenate([*local, dw, dw - along + self.gap_a, dy[self.signed]])
        moved[:cut] = (moved[:cut] + self.gap) * self.active[:cut]
        return Step(dy, dx, do, moved, (aims - dual - ratio * moved) * self.active)

    def _lengths(self, step: Step, share: float) -> tuple[float, float]:
        """How far the slacks and the multipliers may go before one of them is used up."""
        fall = float((-step.slack / self.slack).max(initial=0.0))
        rise = float((-step.dual / (self.dual + self.rest)).max(initial=0.0))
        return min(1.0, share / max(fall, 1e-12)), min(1.0, share / max(rise, 1e-12))

    def _move(self, step: Step, slack: float, dual: float) -> None:
        """Go along a step; w makes up for what h grows beyond its tangent."""
        self.y = self.y + slack * step.y
        self.x = self.x + slack * step.x
        if self.limited:
            self.o = self.o + slack * step.o
        self.slack = self.slack + slack * step.slack
        self.dual = self.dual + dual * step.dual
        self._evaluate()
        choice = self._choice(self.slack)
        choice[0] = np.maximum(choice[0], choice[1] + self.h[self.free] - self._seat())


def solve(system: Floats, right: Floats) -> Floats:
    """The solution of a small system; of least squares where it is singular."""
    try:
        return np.asarray(np.linalg.solve(system, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(system, right, rcond=None)[0])
