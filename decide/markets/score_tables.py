"""Scored forecasts as they stand in the warehouse in, intervals per experiment and horizon out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from decide.columns import floats, groups
from decide.markets.scores import ClusteredMean, chance_of_difference, clustered_mean
from decide.thresholds import Rows, thresholds

KEY = ["experiment", "experiment_version", "horizon_kind", "horizon"]
NEEDED = (  # columns of the slices that are read
    *KEY, "market_id", "snapshot_at", "run_id", "event_cluster", "brier", "market_brier", "label", "probability",
    "market_probability",
)  # fmt: skip
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
        pa.field("happened_count", pa.int64()),
        pa.field("comparison_count", pa.int64()),
        pa.field("better_p_value", pa.float64()),
        pa.field("worse_p_value", pa.float64()),
        pa.field("verdict", pa.string()),
        pa.field("interval_reason", pa.string()),
    ]
)


def market_score_intervals(slices: pa.Table, threshold_rows: Rows) -> pa.Table:
    """Rows (SCHEMA) of every slice with enough forecasts: mean Brier score, and mean difference from the market's.

    The difference is over forecasts whose market had a price; negative favours the experiment. `better` and `worse`
    need two things: an interval on one side of 0, and an exact test at the same level, which holds however few outcomes
    happened. Slices by horizon share their experiment's error: each is tested at the level divided by how many there
    are (Bonferroni); the slice of all forecasts is the one question asked in advance and keeps its level.
    """
    values = thresholds(threshold_rows)
    found = [_row(key, rows, values) for key, rows in groups(slices, KEY, ["market_id", "snapshot_at", "run_id"])]
    shown = [row for row in found if row is not None]
    compared = Counter(row["experiment"] + " " + row["experiment_version"] for row in shown if _is_part(row))
    for row in shown:
        row["comparison_count"] = compared[row["experiment"] + " " + row["experiment_version"]] if _is_part(row) else 1
        row["verdict"] = _verdict(row, (1 - values["bootstrap_level"]) / 2 / max(1, row["comparison_count"]))
    return pa.Table.from_pylist(shown, schema=SCHEMA)


def _is_part(row: Mapping[str, Any]) -> bool:
    """Whether a row is a slice that is compared with the market, beside that of all forecasts."""
    return row["horizon_kind"] != "all" and row.get("difference_low") is not None


def _row(key: tuple[Any, ...], rows: pa.Table, values: Mapping[str, float]) -> dict[str, Any] | None:
    if rows.num_rows < values["score_least_count"]:
        return None
    events = rows["event_cluster"].to_pylist()
    own, market = floats(rows, "brier"), floats(rows, "market_brier")
    paired = np.flatnonzero(~np.isnan(market))
    score = _mean(own, events, values)
    made: dict[str, Any] = {**dict(zip(KEY, key, strict=True)), **_columns("brier", score)}
    made |= {"event_count": score.clusters, "interval_reason": score.reason}
    if len(paired) < values["score_least_count"]:
        return made
    apart = own[paired] - market[paired]
    apart[np.abs(apart) < ROUNDING] = 0.0
    difference = _mean(apart, [events[n] for n in paired], values)
    made |= _columns("difference", difference)
    made["interval_reason"] = difference.reason or score.reason
    names, outcomes = rows["market_id"].to_pylist(), floats(rows, "label")
    better, worse = chance_of_difference(
        (floats(rows, "probability")[paired], floats(rows, "market_probability")[paired]),
        [names[n] for n in paired],
        [events[n] for n in paired],
        outcomes[paired],
        draws=int(values["bootstrap_draws"]),
        seed=int(values["bootstrap_seed"]),
    )
    return made | {
        "better_p_value": better,
        "worse_p_value": worse,
        "happened_count": len({names[n] for n in paired if outcomes[n] == 1}),
    }


def _verdict(row: Mapping[str, Any], alpha: float) -> str:
    if row.get("difference_low") is None:
        return "not_judged"
    if row["difference_high"] < 0 and row["better_p_value"] <= alpha:
        return "better"
    return "worse" if row["difference_low"] > 0 and row["worse_p_value"] <= alpha else "undecided"


def _mean(values: Any, events: list[str], constants: Mapping[str, float]) -> ClusteredMean:
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
