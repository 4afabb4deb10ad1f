"""Others' votes and rewards at the truth in every scenario of every set."""

from decide.voting.forecast_tables import forecast_scenarios


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel = dbt.ref("int_forecast_panel").to_arrow_table()
    quantiles = dbt.ref("forecast_quantiles").to_arrow_table()
    sets = dbt.ref("scenario_weights").to_arrow_table().to_pylist()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    return forecast_scenarios(panel, quantiles, sets, thresholds)
