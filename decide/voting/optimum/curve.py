"""The value of votes on each gauge for one mix of scenarios, f(x) = Σ_s A_s·x/(V_s + x) with A = q·R, and its inverse.

Arrays are (S, n): scenarios in rows, gauges in columns. V is others' votes, x own votes, both in shares of the power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]

STEPS = 60  # Newton needs 4 to 6; the rest is for rows that span thirty orders of magnitude
TINY = 1e-300


@dataclass(frozen=True)
class Curve:
    """n concave curves on [low, high], low > 0: where V = 0 the curve is flat, and worth A from the first vote on."""

    votes: Floats  # (S, n) V
    gain: Floats  # (S, n) A
    slopes: Floats  # (S, n) A·V
    roots: Floats  # (S, n) sqrt(A·V)
    low: Floats  # (n,)
    high: Floats  # (n,)

    @classmethod
    def of(cls, votes: Floats, rewards: Floats, mix: Floats, low: Floats, high: Floats) -> Curve:
        """Curves of rewards (S, n) under the scenario mix q (S,); scenarios without weight are left out."""
        used = mix > 0
        if not used.all():
            used[0] |= not used.any()
            votes, rewards, mix = votes[used], rewards[used], mix[used]
        gain = rewards * mix[:, None]
        slopes = gain * votes
        return cls(votes, gain, slopes, np.sqrt(slopes), low, high)

    def take(self, columns: Codes | Flags) -> Curve:
        """The curves of some gauges."""
        return Curve(
            self.votes[:, columns],
            self.gain[:, columns],
            self.slopes[:, columns],
            self.roots[:, columns],
            self.low[columns],
            self.high[columns],
        )

    def value(self, x: Floats) -> Floats:
        """f (n,) at x (n,) > 0."""
        return np.asarray((self.gain * (x / (self.votes + x))).sum(axis=0))

    def slope(self, x: Floats) -> Floats:
        """f' (n,) = Σ_s A·V/(V + x)²."""
        return np.asarray((self.slopes / (self.votes + x) ** 2).sum(axis=0))

    def bend(self, x: Floats) -> Floats:
        """−f'' (n,) = 2 Σ_s A·V/(V + x)³."""
        return np.asarray(2 * (self.slopes / (self.votes + x) ** 3).sum(axis=0))

    def demand(self, price: float, near: Floats | None = None) -> Floats:
        """argmax of f(x) − price·x over [low, high], (n,); several scenarios start from `near` if that is given.

        One scenario: x = sqrt(A·V/price) − V. Several: φ = f' has no closed inverse, but φ^(−1/2) is a power mean of
        linear functions, so concave, and Newton climbs monotonically from x₀ = max_s (sqrt(A·V/price) − V)+.
        """
        if price <= 0:
            return self.high
        if near is not None and len(self.votes) > 1:
            return self._climb(np.minimum(np.maximum(near, self.low), self.high), price)
        start = (self.roots * (1 / price**0.5) - self.votes).max(axis=0)
        x = np.minimum(np.maximum(start, self.low), self.high)
        return x if len(self.votes) == 1 else self._climb(x, price)

    def _climb(self, x: Floats, price: float) -> Floats:
        target = 1 / price**0.5
        for _ in range(STEPS):
            near = 1 / (self.votes + x)
            terms = self.slopes * near * near
            slope = terms.sum(axis=0)
            step = slope * (target * np.sqrt(slope) - 1) / ((terms * near).sum(axis=0) + TINY)
            after = np.minimum(np.maximum(x + step, self.low), self.high)
            moved = float(np.abs(after - x).max(initial=0.0))
            x = after
            if moved <= 1e-10:
                break
        return x
