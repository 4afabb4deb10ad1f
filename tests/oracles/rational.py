"""The dual of a vote allocation in rational arithmetic: what a bound claims, recomputed without any rounding.

Shares no code with `decide`. Every float is a fraction; the largest gain of a gauge is enclosed between its value at a
rational point and a tangent there, which a concave function is nowhere above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

F = Fraction
STEPS = 200


@dataclass(frozen=True)
class Gauge:
    """One gauge of the dual: others' votes and weighted rewards per scenario, limits, what it held."""

    votes: tuple[Fraction, ...]
    gain: tuple[Fraction, ...]  # q_s·R_s
    low: Fraction
    high: Fraction
    held: Fraction | None

    def value(self, x: Fraction, price: Fraction, stay: Fraction) -> Fraction:
        """f(x) − price·x + stay·min(x, held)."""
        got = sum((g * x / (v + x) for g, v in zip(self.gain, self.votes, strict=True)), F(0)) - price * x
        return got if self.held is None else got + stay * min(x, self.held)

    def slope(self, x: Fraction, price: Fraction, stay: Fraction, right: bool) -> Fraction:
        """The one-sided derivative."""
        got = sum((g * v / (v + x) ** 2 for g, v in zip(self.gain, self.votes, strict=True)), F(0)) - price
        inside = self.held is not None and (x < self.held if right else x <= self.held)
        return got + stay if inside else got

    def most(self, price: Fraction, stay: Fraction) -> tuple[Fraction, Fraction]:
        """The largest value on [low, high], from below and from above, 1e-25 apart or less."""
        points = [self.low, self.high]
        if self.held is not None and self.low < self.held < self.high:
            points.append(self.held)
        best = max(self.value(x, price, stay) for x in points)
        if self.slope(self.low, price, stay, True) <= 0 or self.slope(self.high, price, stay, False) >= 0:
            return best, best
        if self.held in points and self.slope(self.held, price, stay, False) >= 0:
            if self.slope(self.held, price, stay, True) <= 0:
                return best, best
            left, right = self.held, self.high
        else:
            left, right = self.low, min(self.held, self.high) if self.held in points else self.high
        for _ in range(STEPS):
            middle = _rough((left + right) / 2)
            if self.slope(middle, price, stay, True) > 0:
                left = middle
            else:
                right = middle
            if right - left < F(1, 10**26):
                break
        low = max(best, self.value(left, price, stay))
        over = max(self.slope(left, price, stay, True), F(0)) * (right - left)
        return low, max(low, self.value(left, price, stay) + over)


def _rough(x: Fraction) -> Fraction:
    """x to 40 digits: halving would else double the digits each time."""
    return F(round(x * 10**40), 10**40)


def dual(
    gauges: Sequence[Gauge],
    forced: Sequence[bool],
    count: int,
    offset: Fraction,
    price: Fraction,
    stay: Fraction,
    keep: Fraction,
) -> tuple[Fraction, Fraction]:
    """D = offset + price − stay·keep + Σ_forced h + Σ of the (count − forced) largest (h)+, from below and above."""
    both = [gauge.most(price, stay) for gauge in gauges]
    found = []
    for side in (0, 1):
        fixed = sum((b[side] for b, f in zip(both, forced, strict=True) if f), F(0))
        free = sorted((b[side] for b, f in zip(both, forced, strict=True) if not f), reverse=True)
        open_to = count - sum(forced)
        found.append(offset + price - stay * keep + fixed + sum((max(h, F(0)) for h in free[:open_to]), F(0)))
    return found[0], found[1]


def worth(
    votes: Sequence[Sequence[float]], rewards: Sequence[Sequence[float]], own: Sequence[float]
) -> tuple[Fraction, ...]:
    """Returns per scenario of own votes, exactly."""
    got = [F(0)] * len(votes[0])
    for others, usd, x in zip(votes, rewards, own, strict=True):
        if x > 0:
            for s, (v, r) in enumerate(zip(others, usd, strict=True)):
                got[s] += F(r) * F(x) / (F(v) + F(x))
    return tuple(got)
