"""Every correction of bars, run with and without: the signals that are gone, new or moved for it."""

from decide.bars.revised import SCHEMA, revision_effects
from python_models.parts import parts, streamed


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    m5, revisions = dbt.ref("bars_m5"), dbt.ref("int_bar_revisions")
    strategies = dbt.ref("bar_strategies").to_arrow_table().to_pylist()
    sessions = dbt.ref("sessions").to_arrow_table().to_pylist()
    overrides = dbt.ref("session_overrides").to_arrow_table().to_pylist()
    constants = dbt.ref("thresholds").to_arrow_table().to_pylist()
    ticks = dbt.ref("security_ticks").to_arrow_table().to_pylist()
    actions = dbt.ref("bars_corporate_actions").filter("action_kind = 'split'").to_arrow_table().to_pylist()
    runs = dbt.ref("stg_pre_paper__runs").to_arrow_table().to_pylist()
    given = strategies, (sessions, overrides), constants, actions, ticks, runs
    each = parts(revisions, "symbol", "feed")
    return streamed(SCHEMA, (revision_effects(read(m5), read(revisions), *given) for read in each))
