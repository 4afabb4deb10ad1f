"""The market price, stretched or shrunk by what prices turned out to be worth so far: a worked challenger."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from decide.experiments.protocol import Context, Forecast, Resolved, Result, Skip, Snapshot

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
        clipped = np.clip(price.probability, settings["price_clip"], 1 - settings["price_clip"])
        return Forecast(float(special.expit(slope * special.logit(clipped))), {"slope": slope, "resolved": usable})


@lru_cache(maxsize=4)
def fitted_slope(resolved: Resolved, clip: float, prior_weight: float) -> float:
    """b that maximises Σ log-likelihood of σ(b · logit p) less prior_weight/4 · (b − 1)²/2; remembered per history."""
    pairs = [(outcome.price, outcome.happened) for outcome in resolved.outcomes if outcome.price is not None]
    x = special.logit(np.clip([price for price, _ in pairs], clip, 1 - clip))
    y = np.array([happened for _, happened in pairs], dtype=np.float64)
    slope, weight = 1.0, prior_weight / 4
    for _ in range(STEPS):
        p = special.expit(slope * x)
        gradient = float(x @ (y - p)) - weight * (slope - 1)
        step = gradient / (float((x * x) @ (p * (1 - p))) + weight)
        slope = float(np.clip(slope + np.clip(step, -0.5, 0.5), 0.0, 5.0))
        if abs(step) < 1e-10:
            break
    return slope


EXPERIMENT = LongshotCorrected()
