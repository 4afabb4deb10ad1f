"""Prices of a group in which exactly one wins, divided by their sum."""

from __future__ import annotations

from decide.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class NegriskCoherent:
    """Probability = midpoint / Σ midpoints of the named markets of the group; only where the group looks complete.

    A group is complete when every named market in it has a midpoint and their sum is within the settings' bounds:
    whole groups on record add up to 1.001-1.015, a missing candidate shows as a sum below.
    """

    name = "negrisk_coherent"
    version = "1"
    requires: tuple[str, ...] = ("market_price",)
    needs = ("siblings",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price = context.results["market_price"]
        if snapshot.group_id is None:
            return Skip("not one of a group in which exactly one wins")
        if snapshot.is_placeholder:
            return Skip("a placeholder for unnamed outcomes")
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        group = [s for s in context.siblings if s.group_id == snapshot.group_id and not s.is_placeholder]
        middles = [s.midpoint for s in group]
        priced = [middle for middle in middles if middle is not None]
        if len(priced) < max(2, len(middles)):
            return Skip(f"{len(priced)} of {len(middles)} markets of the group have a two-sided book")
        total, settings = sum(priced), context.settings
        if not settings["min_sum"] <= total <= settings["max_sum"]:
            return Skip(f"the group adds up to {total:.3f}: it is not complete")
        return Forecast(min(1.0, price.probability / total), {"sum": total, "markets": len(priced)})


EXPERIMENT = NegriskCoherent()
