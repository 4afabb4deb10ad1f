"""How much to stake on another experiment's forecast at the prices one can have: sizing, not a forecast."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot, Stake


class Kelly:
    """Fraction of Kelly's stake on the side that `source` likes, at the ask of YES or 1 − the bid (the ask of NO).

    A share of a side bought at price a (fee included) pays 1: f* = (q − a) / (1 − a), q the probability of that
    side. The stake is min(fraction · f*, cap). Source: Kelly (1956), Bell System Technical Journal 35(4).
    """

    version = "1"
    mandatory = False

    def __init__(self, source: str = "longshot_corrected", name: str = "kelly") -> None:
        self.name, self.source = name, source
        self.requires: tuple[str, ...] = (source,)

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        belief, settings = context.results[self.source], context.settings
        if not isinstance(belief, Forecast):
            return Skip(f"{self.source} gives no forecast")
        if snapshot.best_ask is None or snapshot.best_bid is None:
            return Skip("one-sided book: there is no price to pay")
        rate = settings["fee_rate"] if snapshot.fee_rate is None else snapshot.fee_rate
        exponent = settings["fee_exponent"] if snapshot.fee_exponent is None else snapshot.fee_exponent
        sides = (("yes", belief.probability, snapshot.best_ask), ("no", 1 - belief.probability, 1 - snapshot.best_bid))
        for side, chance, quoted in sides:
            paid = quoted + rate * (quoted * (1 - quoted)) ** exponent
            if not 0 < paid < 1 or chance <= paid:
                continue
            full = (chance - paid) / (1 - paid)
            stake = min(settings["fraction"] * full, settings["cap"])
            if stake >= settings["least"]:
                return Stake(side, stake, paid, {"full": full, "chance": chance})
        return Skip("no side is worth its price")


EXPERIMENT = Kelly()
