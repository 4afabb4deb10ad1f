"""What "by that date" should still be worth when time has passed and nothing has happened."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = rf"{_MONTH}|20\d\d|end of|midnight|\d{{1,2}}/\d{{1,2}}"
_BY_DATE = re.compile(rf"\b(?:by|before)\b[^?]*\b(?:{_DATE})\b", re.IGNORECASE)
WEEK = timedelta(days=7)


class TimeDecay:
    """For questions "... by <date>": a constant hazard, read off the price of a week ago.

    With T left now and T + 7 days left then, p₀ = 1 − exp(−λ(T + 7 d)), so p = 1 − (1 − p₀)^(T / (T + 7 d)); then
    `weight` of it and 1 − `weight` of the price now, because news since then is in the price.
    """

    name = "time_decay"
    version = "1"
    requires: tuple[str, ...] = ("market_price",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        price, settings = context.results["market_price"], context.settings
        if _BY_DATE.search(snapshot.question) is None:
            return Skip('not a question "by" or "before" a date')
        if not isinstance(price, Forecast):
            return Skip("market_price abstained")
        if snapshot.week_change is None:
            return Skip("the price of a week ago is not known")
        if snapshot.end_at is None or snapshot.end_at <= snapshot.snapshot_at:
            return Skip("no end ahead")
        before = price.probability - snapshot.week_change
        if not 0 < before < 1:
            return Skip(f"the price of a week ago comes out as {before:.3f}")
        left = snapshot.end_at - snapshot.snapshot_at
        decayed = -math.expm1(math.log1p(-before) * (left / (left + WEEK)))
        weight = settings["weight"]
        return Forecast(weight * decayed + (1 - weight) * price.probability, {"decayed": decayed})


EXPERIMENT = TimeDecay()
