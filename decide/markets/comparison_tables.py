"""Scored forecasts as they stand in the warehouse in, one row per pair of experiments out."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from decide.markets.comparisons import Comparison, compare, corrected, verdict
from decide.thresholds import Rows, thresholds

REFERENCE = "market_price"
NEEDED = ("experiment", "experiment_version", "run_id", "market_id", "brier", "event_cluster", "is_foreknown")
SCHEMA = pa.schema(
    [
        *(pa.field(n, pa.string()) for n in ("experiment", "experiment_version", "reference", "reference_version")),
        *(pa.field(n, pa.string()) for n in ("family", "verdict", "reason")),
        *(pa.field(n, pa.int64()) for n in ("paired_count", "event_count", "comparison_count")),
        *(
            pa.field(n, pa.float64())
            for n in (
                "brier",
                "reference_brier",
                "difference",
                "standard_error",
                "difference_low",
                "difference_high",
                "p_value",
                "p_adjusted",
                "detectable_difference",
            )
        ),
        pa.field("more_forecasts", pa.int64()),
    ]
)
Key = tuple[str, str]  # experiment, version
Scores = dict[tuple[str, str], tuple[float, str]]  # (run, market) -> squared error, event


def experiment_comparisons(scored: pa.Table, threshold_rows: Rows) -> pa.Table:
    """Rows (SCHEMA) of every experiment and version against the market's price, and against each other.

    Only forecasts of both on the same market and snapshot count, and none whose model may have known the end.
    """
    values = thresholds(threshold_rows)
    scores = _by_experiment(scored)
    markets = sorted(key for key in scores if key[0] == REFERENCE)
    others = sorted(key for key in scores if key[0] != REFERENCE)
    families = {
        "market": [(one, market) for market in markets for one in others],
        "pairs": list(combinations(others, 2)),
    }
    rows: list[dict[str, Any]] = []
    for family, pairs in families.items():
        kept = [(pair, *_paired(scores[pair[0]], scores[pair[1]])) for pair in pairs]
        kept = [each for each in kept if len(each[1])]
        least = {"least_rows": int(values["score_least_count"]), "least_clusters": int(values["score_least_events"])}
        found = corrected(
            [compare(own - other, events, **least) for _, own, other, events in kept],
            level=values["bootstrap_level"],
            power=values["score_power"],
            of_interest=values["score_difference_of_interest"],
        )
        count = sum(each.reason is None for each in found)
        for (pair, own, other, _), each in zip(kept, found, strict=True):
            briers = {"brier": float(own.mean()), "reference_brier": float(other.mean())}
            about = {"family": family, "comparison_count": count, "verdict": verdict(each, values["bootstrap_level"])}
            rows.append({**_names(pair), **about, **briers, **_columns(each)})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _by_experiment(scored: pa.Table) -> dict[Key, Scores]:
    found: dict[Key, Scores] = {}
    for experiment, version, run, market, brier, event, is_foreknown in zip(
        *(scored[name].to_pylist() for name in NEEDED), strict=True
    ):
        if not is_foreknown:
            found.setdefault((experiment, version), {})[run, market] = (float(brier), event)
    return found


def _paired(one: Scores, other: Scores) -> tuple[Any, Any, list[str]]:
    """Squared errors of both and the events, in the order of runs and markets."""
    shared = sorted(one.keys() & other.keys())
    own, theirs = (np.array([scores[key][0] for key in shared], dtype=np.float64) for scores in (one, other))
    return own, theirs, [one[key][1] for key in shared]


def _names(pair: tuple[Key, Key]) -> dict[str, str]:
    (experiment, version), (reference, reference_version) = pair
    named = {"experiment": experiment, "experiment_version": version}
    return {**named, "reference": reference, "reference_version": reference_version}


def _columns(found: Comparison) -> dict[str, Any]:
    told = {
        "difference": found.difference,
        "standard_error": found.error,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
        "p_adjusted": found.p_adjusted,
        "detectable_difference": found.detectable,
    }
    made: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in told.items()}
    made |= {"reason": found.reason, "paired_count": found.observations, "event_count": found.events}
    return made | {"more_forecasts": None if math.isnan(found.more) else int(found.more)}
