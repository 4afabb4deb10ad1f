"""May a backtest go on to live bars? Gates with values from a seed; and what a best of many tries is worth.

The deflated Sharpe ratio asks how likely the best of N tries would be this good if none had an edge: Bailey and Lopez
de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), formulas 1 and 9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import stats

from decide.bars.ticks import Floats, Ints
from decide.errors import DecisionError

SESSIONS_PER_YEAR = 252
EULER = 0.5772156649015329
PROMOTABLE, NOT_PROMOTABLE = "PROMOTABLE", "NOT_PROMOTABLE"


@dataclass(frozen=True)
class PromotionGates:
    """Least and most of what a backtest must show; rows of the `promotion_gates` seed. `kill_*` are for live runs."""

    min_trades: float
    min_win_share: float
    min_sharpe: float
    max_drawdown_share: float
    costs_multiple: float
    kill_max_signals_per_session: float
    kill_max_loss_share: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> PromotionGates:
        """From the seed's rows; DecisionError names a gate that is missing or unknown."""
        values = {row["gate"]: float(row["value"]) for row in rows}
        wanted = {f.name for f in fields(cls)}
        if set(values) != wanted:
            raise DecisionError(
                f"promotion_gates: missing {sorted(wanted - set(values))}, unknown {sorted(set(values) - wanted)}"
            )
        return cls(**values)


def daily_returns(exit_at: Ints, net_usd: Floats, closes: Ints, initial_equity_usd: float) -> Floats:
    """Return per session (S,) from trades (T,) in time order: net of a session over the equity it began with.

    `closes` (S,) are the sessions' closes; a session without a trade returns 0.
    """
    session = np.searchsorted(closes, exit_at, side="right")
    earned = np.bincount(session, weights=net_usd, minlength=len(closes))[: len(closes)]
    before = initial_equity_usd + np.r_[0.0, np.cumsum(earned)[:-1]]
    return np.asarray(np.where(before > 0, earned / np.where(before > 0, before, 1.0), 0.0))


def sharpe(returns: Floats) -> float:
    """Mean over standard deviation per session; 0 where nothing varies."""
    if len(returns) < 2:
        return 0.0
    spread = float(returns.std(ddof=1))
    return float(returns.mean()) / spread if spread > 0 else 0.0


def deflated_sharpe(returns: Floats, tries: Floats) -> float:
    """Probability that the Sharpe ratio of `returns` (S,) is above what the best of `tries` would show by chance.

    `tries` (N,) are the Sharpe ratios per session of every set that was tried, the best one included.
    """
    count, observed, size = len(tries), sharpe(returns), len(returns)
    if size < 3 or count < 1:
        return float("nan")
    expected = 0.0
    if count > 1:
        spread = float(np.asarray(tries).std(ddof=1))
        expected = spread * (
            (1 - EULER) * stats.norm.ppf(1 - 1 / count) + EULER * stats.norm.ppf(1 - 1 / (count * math.e))
        )
    if not returns.std() > 0:
        return 0.0
    skew, kurtosis = float(stats.skew(returns)), float(stats.kurtosis(returns, fisher=False))
    variance = 1 - skew * observed + (kurtosis - 1) / 4 * observed**2
    return float(stats.norm.cdf((observed - expected) * math.sqrt(size - 1) / math.sqrt(max(variance, 1e-12))))


def judge(figures: Mapping[str, Any], net_at_more_costs: float, gates: PromotionGates) -> dict[str, Any]:
    """PROMOTABLE, or the gates that failed with what they found. `figures`: metrics of a run, with `sharpe` per
    year.
    """
    checks = [
        ("min_trades", figures["trades"], figures["trades"] >= gates.min_trades),
        ("min_win_share", figures["win_share"], (figures["win_share"] or 0.0) >= gates.min_win_share),
        ("min_sharpe", figures["sharpe"], figures["sharpe"] >= gates.min_sharpe),
        (
            "max_drawdown_share",
            figures["max_drawdown_share"],
            figures["max_drawdown_share"] <= gates.max_drawdown_share,
        ),
        ("costs_multiple", net_at_more_costs, net_at_more_costs > 0),
    ]
    failed = [
        {"gate": name, "wanted": getattr(gates, name), "found": found} for name, found, is_met in checks if not is_met
    ]
    return {"status": NOT_PROMOTABLE if failed else PROMOTABLE, "failed": failed}
