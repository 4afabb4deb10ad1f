"""Every bar strategy of the seed run over every series of bars: gates, signals, what became of them, metrics."""

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
    kept, code = kept_answers(dbt, session), code_version("decide.bars.tables")
    return bar_run_tables(m5, m15, strategies, (sessions, overrides), constants, kept, code)
