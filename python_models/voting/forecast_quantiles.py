"""Quantiles of drift and uplift, each row learned only from labels known before its decision."""

from decide.once import sealed_schema
from decide.voting.forecast_tables import SCHEMA, forecast_quantiles
from python_models.kept import code_version, kept_answers
from python_models.parts import parts, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel = dbt.ref("int_forecast_panel")
    candidates = dbt.ref("forecast_candidates").to_arrow_table().to_pylist()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    kept, code = kept_answers(dbt, session), code_version("decide.voting.forecast_tables")
    each = parts(panel, "protocol", "voter_id", "decision_window")
    made = (forecast_quantiles(read(panel), candidates, thresholds, read(kept), code) for read in each)
    return streamed(sealed_schema(SCHEMA), made)
