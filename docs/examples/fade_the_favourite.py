"""An experiment of your own, in one file outside the package: what if favourites are a little overpriced?

Name this file in `[markets] experiments` of foreshore.toml. It reads one constant from
`seeds/markets/experiment_settings.csv` if there is a row `fade_the_favourite,share,0.05,share,"..."`; else it uses
its own.
"""

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class FadeTheFavourite:
    name = "fade_the_favourite"
    version = "1"  # raise it when the logic changes; `foreshore markets backfill` then runs it on old snapshots too
    requires = ("market_price",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price = context.results["market_price"]
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        if price.probability <= 0.5:
            return Skip("no favourite")
        share = context.settings.get("share", 0.05)
        return Forecast(price.probability - share * (price.probability - 0.5))


EXPERIMENT = FadeTheFavourite()
