"""Brier scores and their differences from the market's, with intervals that resample events."""

from decide.markets.score_tables import market_score_intervals


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    slices = dbt.ref("int_forecast_slices").to_arrow_table()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    return market_score_intervals(slices, thresholds)
