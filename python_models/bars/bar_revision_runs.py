"""Every correction of bars, run with and without: the signals that are gone, new or moved for it."""

from decide.bars.revised import revision_effects


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    m5 = dbt.ref("bars_m5").to_arrow_table()
    revisions = dbt.ref("int_bar_revisions").to_arrow_table()
    strategies = dbt.ref("bar_strategies").to_arrow_table().to_pylist()
    sessions = dbt.ref("sessions").to_arrow_table().to_pylist()
    overrides = dbt.ref("session_overrides").to_arrow_table().to_pylist()
    constants = dbt.ref("thresholds").to_arrow_table().to_pylist()
    ticks = dbt.ref("security_ticks").to_arrow_table().to_pylist()
    actions = dbt.ref("bars_corporate_actions").filter("action_kind = 'split'").to_arrow_table().to_pylist()
    runs = dbt.ref("stg_pre_paper__runs").to_arrow_table().to_pylist()
    return revision_effects(m5, revisions, strategies, (sessions, overrides), constants, actions, ticks, runs)
