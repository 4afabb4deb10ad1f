"""One allocation problem in shares: what all the steps of the solver read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decide.voting.optimum.curve import Codes, Curve, Flags, Floats
from decide.voting.optimum.dual import Limits
from decide.voting.optimum.pieces import Risk


@dataclass(frozen=True)
class Model:
    """N gauges in S scenarios: votes and caps in shares of the power, rewards in shares of `scale` USD."""

    votes: Floats  # (S, N) others'
    rewards: Floats  # (S, N)
    low: Floats  # (N,)
    high: Floats  # (N,) 0 for a gauge that cannot hold the minimum
    count: int  # gauges at most
    risk: Risk
    previous: Floats | None  # (N,) summing to 1; None without a turnover limit
    keep: float  # share of the votes that must stay: Σ min(x, p) ≥ keep
    grid: float  # one unit of votes

    def returns(self, gauges: Codes, x: Floats) -> Floats:
        """Return (S,) of votes x > 0 on some gauges."""
        return np.asarray((self.rewards[:, gauges] * (x / (self.votes[:, gauges] + x))).sum(axis=1))

    def objective(self, gauges: Codes, x: Floats) -> float:
        """E − λ·D of votes x > 0 on some gauges."""
        return self.risk.worst_piece(self.returns(gauges, x))[0]

    def curve(self, gauges: Codes, mix: Floats) -> Curve:
        """The curves of some gauges under a mix of scenarios (S,)."""
        return Curve.of(self.votes[:, gauges], self.rewards[:, gauges], mix, self.low[gauges], self.high[gauges])

    def limits(self, gauges: Codes, forced: Flags, on_grid: bool) -> Limits:
        """What couples some gauges, of which `forced` are voted for."""
        previous = None if self.previous is None else self.previous[gauges]
        return Limits(forced, self.count, previous, self.keep, self.grid if on_grid else 0.0)

    def moved(self, vote: Vote) -> float:
        """Share of the votes that moved, Σ (x − p)+; 0 without a turnover limit."""
        if self.previous is None:
            return 0.0
        return float(np.maximum(vote.x - self.previous[vote.gauges], 0.0).sum())


@dataclass(frozen=True)
class Vote:
    """A feasible allocation: gauges (k,), their shares x (k,), and what it is worth."""

    gauges: Codes
    x: Floats
    value: float
