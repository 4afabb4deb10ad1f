"""Gains with intervals, tests of skill, the test against data snooping, and the acceptance criteria of the backtest."""

from decide.voting.backtest_statistics import backtest_statistics


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    results = dbt.ref("vote_backtest").to_arrow_table()
    scores = dbt.ref("preboundary_forecast_scores").to_arrow_table()
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    coverage = dbt.ref("interval_coverage").to_arrow_table().to_pylist()
    return backtest_statistics(results, scores, thresholds, coverage)
