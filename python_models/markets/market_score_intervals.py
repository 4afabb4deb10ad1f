"""Brier scores and their differences from the market's, with intervals that resample events."""

import duckdb
import pyarrow as pa

from decide.markets.score_tables import NEEDED, SCHEMA, market_score_intervals


def model(dbt, session):  # type: ignore[no-untyped-def]
    dbt.config(materialized="table", schema="intermediate")
    thresholds = dbt.ref("thresholds").to_arrow_table().to_pylist()
    slices = dbt.ref("int_forecast_slices").select(*NEEDED)
    # an experiment at a time: years of all of them at once are gigabytes
    keys = slices.select("experiment", "experiment_version").distinct().order("all").fetchall()
    parts = [market_score_intervals(_of(slices, *key), thresholds) for key in keys]
    return pa.concat_tables([SCHEMA.empty_table(), *parts])


def _of(slices, experiment, version):  # type: ignore[no-untyped-def]
    column, text = duckdb.ColumnExpression, duckdb.ConstantExpression
    mine = (column("experiment") == text(experiment)) & (column("experiment_version") == text(version))
    return slices.filter(mine).to_arrow_table()
