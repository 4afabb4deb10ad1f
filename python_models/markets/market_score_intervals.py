"""Brier scores and their differences from the market's, with intervals that resample events."""

from decide.markets.score_tables import NEEDED, SCHEMA, market_score_intervals
from python_models.parts import parts, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    slices = dbt.ref("int_forecast_slices").select(*NEEDED)
    each = parts(slices, "experiment", "experiment_version")
    return streamed(SCHEMA, (market_score_intervals(read(slices), thresholds) for read in each))
