"""Quantiles of drift and uplift, each row learned only from labels known before its decision."""

from decide.voting.forecast_tables import forecast_quantiles


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel = dbt.ref("int_forecast_panel").to_arrow_table()
    candidates = dbt.ref("forecast_candidates").to_arrow_table().to_pylist()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    return forecast_quantiles(panel, candidates, thresholds)
