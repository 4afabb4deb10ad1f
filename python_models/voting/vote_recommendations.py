"""What was recommended at every decision, under the default risk profile."""

from decide.voting.recommend_tables import Seeds, recommend_tables
from python_models.kept import code_version, kept_answers


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel = dbt.ref("int_forecast_panel").to_arrow_table()
    quantiles = dbt.ref("forecast_quantiles").to_arrow_table()
    forecasts = dbt.ref("forecast_scenarios").to_arrow_table()
    windows = dbt.ref("int_voter_windows").to_arrow_table()
    seeds = Seeds(
        dbt.ref("thresholds").to_arrow_table().to_pylist(),
        dbt.ref("scenario_weights").to_arrow_table().to_pylist(),
        dbt.ref("risk_profiles").to_arrow_table().to_pylist(),
        dbt.ref("voting_rules").to_arrow_table().to_pylist(),
        dbt.ref("decision_windows").to_arrow_table().to_pylist(),
    )
    kept, code = kept_answers(dbt, session), code_version("decide.voting.recommend_tables")
    return recommend_tables(panel, quantiles, forecasts, windows, seeds, kept, code)
