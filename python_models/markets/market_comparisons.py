"""Pairs of experiments on the markets that both forecast, corrected for how many pairs there are."""

from decide.markets.comparison_tables import NEEDED, experiment_comparisons


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    scored = dbt.ref("int_forecasts_scored").select(*NEEDED).to_arrow_table()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    return experiment_comparisons(scored, thresholds)
