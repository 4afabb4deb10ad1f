"""The seed's bar strategies on every series of bars, and the rules of live runs on theirs: gates, signals, metrics."""

from decide.bars.tables import SCHEMA, bar_run_tables
from decide.once import sealed_schema
from python_models.kept import code_version, kept_answers
from python_models.parts import parts, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    m5, m15 = dbt.ref("bars_m5"), dbt.ref("bars_m15")
    strategies = dbt.ref("bar_strategies").to_arrow_table().to_pylist()
    sessions = dbt.ref("sessions").to_arrow_table().to_pylist()
    overrides = dbt.ref("session_overrides").to_arrow_table().to_pylist()
    constants = dbt.ref("thresholds").to_arrow_table().to_pylist()
    ticks = dbt.ref("security_ticks").to_arrow_table().to_pylist()
    actions = dbt.ref("bars_corporate_actions").filter("action_kind = 'split'").to_arrow_table().to_pylist()
    runs = dbt.ref("stg_pre_paper__runs").to_arrow_table().to_pylist()
    kept, code = kept_answers(dbt, session), code_version("decide.bars.tables")
    given = strategies, (sessions, overrides), constants, actions, ticks, runs
    each = parts(m5, "symbol", "feed")
    made = (bar_run_tables(read(m5), read(m15), *given, read(kept), code) for read in each)
    return streamed(sealed_schema(SCHEMA), made)
