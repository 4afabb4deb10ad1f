"""The market price, stretched or shrunk by what prices turned out to be worth so far: a worked challenger."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from decide.markets.experiments.protocol import Context, Forecast, Resolved, Result, Skip, Snapshot

Floats = npt.NDArray[np.float64]
STEPS = 50  # Newton on one parameter of a concave function: a handful is enough


class LongshotCorrected:
    """Probability = σ(b · logit(price)), b fitted on the own markets known to be resolved at the snapshot.

    b > 1: prices are too cautious; b < 1: longshots are overpriced. The price of a resolved market is the last one
    seen before. Fitted by maximum likelihood with a weak pull to b = 1 (`prior_weight` observations' worth at p = ½).
    """

    name = "longshot_corrected"
    version = "1"
    requires: tuple[str, ...] = ("market_price",)
    needs = ("resolved",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price, settings = context.results["market_price"], context.settings
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        usable = sum(outcome.price is not None for outcome in context.resolved.outcomes)
        least = int(settings["min_resolved"])
        if usable < least:
            return Skip(f"{usable} markets with a price resolved so far; {least} are needed")
        slope = fitted_slope(context.resolved, settings["price_clip"], settings["prior_weight"])
        clipped = min(max(price.probability, settings["price_clip"]), 1 - settings["price_clip"])
        stretched = slope * math.log(clipped / (1 - clipped))
        return Forecast(1 / (1 + math.exp(-stretched)), {"slope": slope, "resolved": usable})


@lru_cache(maxsize=4)
def fitted_slope(resolved: Resolved, clip: float, prior_weight: float) -> float:
    """b that maximises Σ log-likelihood of σ(b · logit p) less prior_weight/4 · (b − 1)²/2; remembered per history."""
    pairs = [(outcome.price, outcome.happened) for outcome in resolved.outcomes if outcome.price is not None]
    prices = np.clip(np.array([price for price, _ in pairs], dtype=np.float64), clip, 1 - clip)
    x: Floats = np.log(prices / (1 - prices))
    y: Floats = np.array([happened for _, happened in pairs], dtype=np.float64)
    slope, weight = 1.0, prior_weight / 4
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-slope * x))  # finite: |x| is at most log(1/clip)
        gradient = float(x @ (y - p)) - weight * (slope - 1)
        step = gradient / (float((x * x) @ (p * (1 - p))) + weight)
        slope = float(np.clip(slope + np.clip(step, -0.5, 0.5), 0.0, 5.0))
        if abs(step) < 1e-10:
            break
    return slope


EXPERIMENT = LongshotCorrected()
