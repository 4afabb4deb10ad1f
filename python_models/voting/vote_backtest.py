"""Every ended epoch and window decided again with what was known then, by every strategy, and scored."""

from decide.once import sealed_schema
from decide.voting.backtest_tables import SCHEMA, Backtest
from decide.voting.recommend_tables import Seeds
from python_models.kept import code_version, kept_answers
from python_models.parts import epochs, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    panel, quantiles = dbt.ref("int_forecast_panel"), dbt.ref("forecast_quantiles")
    forecasts, windows = dbt.ref("forecast_scenarios"), dbt.ref("int_voter_windows")
    variants = dbt.ref("backtest_variants").to_arrow_table().to_pylist()
    seeds = Seeds(
        dbt.ref("thresholds").to_arrow_table().to_pylist(),
        dbt.ref("scenario_weights").to_arrow_table().to_pylist(),
        dbt.ref("risk_profiles").to_arrow_table().to_pylist(),
        dbt.ref("voting_rules").to_arrow_table().to_pylist(),
        dbt.ref("decision_windows").to_arrow_table().to_pylist(),
        dbt.ref("int_submissions").to_arrow_table().to_pylist(),
    )
    kept, code = kept_answers(dbt, session), code_version("decide.voting.backtest_tables")
    replay = Backtest(windows.to_arrow_table(), seeds, variants, code)
    tables = panel, quantiles, forecasts, windows
    made = (replay.of(*map(read, tables), read(kept)) for read in epochs(windows))
    return streamed(sealed_schema(SCHEMA), made)
