"""How often markets of ours resolved YES so far: the floor that any forecast should beat."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class BaseRate:
    """Probability = (YES + 1) / (n + 2) over the own markets known to be resolved at the snapshot (Laplace's rule)."""

    name = "base_rate"
    version = "1"
    requires: tuple[str, ...] = ()
    needs = ("resolved",)
    mandatory = False

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        known, least = len(context.resolved), int(context.settings["min_resolved"])
        if known < least:
            return Skip(f"{known} markets resolved so far; {least} are needed")
        happened = sum(outcome.happened for outcome in context.resolved.outcomes)
        return Forecast((happened + 1) / (known + 2), {"resolved": known})


EXPERIMENT = BaseRate()
