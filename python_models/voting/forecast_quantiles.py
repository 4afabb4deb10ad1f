"""Quantiles of drift and uplift, each row learned only from labels known before its decision."""

from decide.voting.forecast_tables import forecast_quantiles
from python_models.kept import code_version, kept_answers


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel = dbt.ref("int_forecast_panel").to_arrow_table()
    candidates = dbt.ref("forecast_candidates").to_arrow_table().to_pylist()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    kept, code = kept_answers(dbt, session), code_version("decide.voting.forecast_tables")
    return forecast_quantiles(panel, candidates, thresholds, kept, code)
