"""The seed's bar strategies on every series of bars, and the rules of live runs on theirs: gates, signals, metrics."""

from decide.bars.tables import bar_run_tables
from python_models.kept import code_version, kept_answers


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    m5 = dbt.ref("bars_m5").to_arrow_table()
    m15 = dbt.ref("bars_m15").to_arrow_table()
    strategies = dbt.ref("bar_strategies").to_arrow_table().to_pylist()
    sessions = dbt.ref("sessions").to_arrow_table().to_pylist()
    overrides = dbt.ref("session_overrides").to_arrow_table().to_pylist()
    constants = dbt.ref("thresholds").to_arrow_table().to_pylist()
    ticks = dbt.ref("security_ticks").to_arrow_table().to_pylist()
    actions = dbt.ref("bars_corporate_actions").filter("action_kind = 'split'").to_arrow_table().to_pylist()
    runs = dbt.ref("stg_pre_paper__runs").to_arrow_table().to_pylist()
    kept, code = kept_answers(dbt, session), code_version("decide.bars.tables")
    given = strategies, (sessions, overrides), constants, actions, ticks, runs
    return bar_run_tables(m5, m15, *given, kept, code)
