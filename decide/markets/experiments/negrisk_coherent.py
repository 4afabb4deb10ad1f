"""Prices of a group in which exactly one wins, divided by their sum."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class NegriskCoherent:
    """Probability = midpoint / Σ displayed prices of the group's markets; only where the group looks complete.

    A group is complete when its sum is within the settings' bounds: whole groups on record add up to 1.001-1.015, a
    missing candidate shows as a sum below.
    """

    name = "negrisk_coherent"
    version = "1"
    requires: tuple[str, ...] = ("market_price",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price, total, settings = context.results["market_price"], snapshot.group_price_sum, context.settings
        if snapshot.group_id is None or total is None:
            return Skip("not one of a group in which exactly one wins")
        if snapshot.is_placeholder:
            return Skip("a placeholder for unnamed outcomes")
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        if not settings["min_sum"] <= total <= settings["max_sum"]:
            return Skip(f"the group adds up to {total:.3f}: it is not complete, or stale")
        return Forecast(min(1.0, price.probability / total), {"sum": total})


EXPERIMENT = NegriskCoherent()
