"""The reference that every other experiment is scored against: the middle of the book."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class MarketPrice:
    """Probability = midpoint of best bid and ask; abstains when the book has one side only or is crossed.

    On recorded pages the displayed price equals this midpoint in every two-sided book; a third are one-sided.
    """

    name = "market_price"
    version = "1"
    requires: tuple[str, ...] = ()
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        midpoint = snapshot.midpoint
        if midpoint is None:
            return Skip("one-sided or crossed book")
        return Forecast(midpoint)


EXPERIMENT = MarketPrice()
