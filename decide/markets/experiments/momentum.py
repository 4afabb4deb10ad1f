"""The price, moved a little further the way it has been going."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class Momentum:
    """Probability = midpoint + day_weight · change over a day + week_weight · change over a week, kept off 0 and 1."""

    name = "momentum"
    version = "1"
    requires: tuple[str, ...] = ("market_price",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price, settings = context.results["market_price"], context.settings
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        if snapshot.day_change is None and snapshot.week_change is None:
            return Skip("no change over a day or a week is known")
        moved = settings["day_weight"] * (snapshot.day_change or 0) + settings["week_weight"] * (
            snapshot.week_change or 0
        )
        low = min(settings["price_clip"], price.probability)
        high = max(1 - settings["price_clip"], price.probability)
        return Forecast(min(high, max(low, price.probability + moved)), {"moved": moved})


EXPERIMENT = Momentum()
