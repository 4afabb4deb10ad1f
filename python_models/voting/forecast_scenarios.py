"""Others' votes and rewards at the truth in every scenario of every set."""

from decide.voting.forecast_tables import SCENARIO_SCHEMA, forecast_scenarios
from python_models.parts import parts, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel, quantiles = dbt.ref("int_forecast_panel"), dbt.ref("forecast_quantiles")
    sets = dbt.ref("scenario_weights").to_arrow_table().to_pylist()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    each = parts(panel, "protocol", "voter_id", "decision_window")
    made = (forecast_scenarios(read(panel), read(quantiles), sets, thresholds) for read in each)
    return streamed(SCENARIO_SCHEMA, made)
