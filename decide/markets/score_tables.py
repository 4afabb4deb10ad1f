"""Scored forecasts as they stand in the warehouse in, intervals per experiment and horizon out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from decide.columns import floats, groups
from decide.markets.scores import ClusteredMean, clustered_mean
from decide.thresholds import Rows, thresholds

KEY = ["experiment", "experiment_version", "horizon_kind", "horizon"]
ROUNDING = 1e-12  # two ways to the same price differ by less; such a difference is none
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in KEY),
        *(
            pa.field(f"{measure}_{end}", pa.float64())
            for measure in ("brier", "difference")
            for end in ("estimate", "low", "high")
        ),
        pa.field("event_count", pa.int64()),
        pa.field("interval_reason", pa.string()),
    ]
)


def market_score_intervals(slices: pa.Table, threshold_rows: Rows) -> pa.Table:
    """Rows (SCHEMA) of every slice with enough forecasts: mean Brier score, and mean difference from the market's.

    The difference is over forecasts whose market had a price; negative favours the experiment.
    """
    values = thresholds(threshold_rows)
    found: list[dict[str, Any]] = []
    for key, rows in groups(slices, KEY, ["market_id", "run_id"]):
        if rows.num_rows < values["score_least_count"]:
            continue
        events = rows["event_cluster"].to_pylist()
        own, market = floats(rows, "brier"), floats(rows, "market_brier")
        paired = np.flatnonzero(~np.isnan(market))
        score = _mean(own, events, values)
        made: dict[str, Any] = {**dict(zip(KEY, key, strict=True)), **_columns("brier", score)}
        made |= {"event_count": score.clusters, "interval_reason": score.reason}
        if len(paired) >= values["score_least_count"]:
            apart = own[paired] - market[paired]
            apart[np.abs(apart) < ROUNDING] = 0.0
            difference = _mean(apart, [events[n] for n in paired], values)
            made |= _columns("difference", difference)
            made["interval_reason"] = difference.reason or score.reason
        found.append(made)
    return pa.Table.from_pylist(found, schema=SCHEMA)


def _mean(values: Any, events: list[str], constants: dict[str, float]) -> ClusteredMean:
    return clustered_mean(
        values,
        events,
        level=constants["bootstrap_level"],
        draws=int(constants["bootstrap_draws"]),
        seed=int(constants["bootstrap_seed"]),
        least_clusters=int(constants["score_least_events"]),
    )


def _columns(measure: str, found: ClusteredMean) -> dict[str, float | None]:
    ends = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return {f"{measure}_{name}": None if math.isnan(value) else value for name, value in ends.items()}
