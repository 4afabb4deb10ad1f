"""The displayed price, as it stands: the record that every run must have."""

from __future__ import annotations

from decide.markets.experiments.protocol import Context, Forecast, Result, Skip, Snapshot


class BaselineSnapshot:
    """Probability = the first outcome's displayed price. Mandatory: a market without this record is left out."""

    name = "baseline_snapshot"
    version = "1"
    requires: tuple[str, ...] = ()
    mandatory = True

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        if snapshot.price is None:
            return Skip("no displayed price")
        return Forecast(snapshot.price)


EXPERIMENT = BaselineSnapshot()
