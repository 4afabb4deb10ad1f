"""The part of the voter's page that shows what others do: votes moving, forecasts and where they ended."""

from __future__ import annotations

from collections.abc import Callable

from operate.report.charts import fans, intervals, lines
from operate.report.page import Figure, Grid, Note
from operate.report.reading import Reader

SHOWN = 8  # gauges in one chart

_MOVING = """
    with newest as (
        select max(epoch) as epoch from preboundary_truth_labels where protocol = '{protocol}'
    ),

    shown as (
        select gauge_address
        from preboundary_truth_labels
        inner join newest using (epoch)
        where protocol = '{protocol}'
        order by final_votes desc nulls last, gauge_address
        limit {shown}
    )

    select
        gauge_name as gauge,
        round((epoch(boundary_at) - epoch(decision_at)) / 60, 1) as minutes_before,
        votes_now
    from preboundary_snapshots
    inner join newest using (epoch)
    inner join shown using (gauge_address)
    where protocol = '{protocol}' and votes_now is not null and decision_at <= boundary_at
    order by gauge, decision_at
"""
_ENDED = """
    with newest as (
        select max(epoch) as epoch from preboundary_truth_labels where protocol = '{protocol}'
    ),

    ended as (  -- what others' votes came to: the voter's own are no part of a forecast
        select panel.gauge_address, names.gauge_name as gauge, max(panel.other_votes_final) as final_votes,
            row_number() over (order by max(panel.other_votes_final) desc, panel.gauge_address) as place
        from main_intermediate.int_forecast_panel as panel
        inner join newest using (epoch)
        inner join gauges as names using (protocol, gauge_address)
        where protocol = '{protocol}' and voter_id = '{voter}' and panel.other_votes_final is not null
        group by panel.gauge_address, names.gauge_name
    )
"""
_FORECASTS = """
    from preboundary_forecasts
    inner join newest using (epoch)
    inner join ended using (gauge_address)
    inner join decision_points as points using (protocol, epoch, decision_window)
    where protocol = '{protocol}' and voter_id = '{voter}'
        and scenario_set = (select min(scenario_set) from preboundary_forecasts)
"""
_SPREAD = """
        min(other_votes_forecast) as low, max(other_votes_forecast) as high,
        sum(scenario_weight * other_votes_forecast) / sum(scenario_weight) as expected
"""
_FANS = f"""{_ENDED}
    select gauge, any_value(ended.final_votes) as final_votes, {_SPREAD.strip()}
    {_FORECASTS.strip()} and decision_window = 'day' and ended.place <= 12
    group by gauge
    order by min(ended.place)
"""
_FANS_BY_WINDOW = f"""{_ENDED}
    select gauge, decision_window, any_value(ended.final_votes) as final_votes, {_SPREAD.strip()}
    {_FORECASTS.strip()} and ended.place <= {{shown}}
    group by gauge, decision_window
    order by min(ended.place), min(points.window_position)
"""


def others(read: Reader, sql: Callable[..., str]) -> list[Figure | Grid | Note]:
    """Figures of the newest ended epoch; `sql` fills in exchange, voter and what more it is given."""
    moving, newest, by_window = sql(_MOVING, shown=SHOWN), sql(_FANS), sql(_FANS_BY_WINDOW, shown=SHOWN)
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(moving):
        chart = lines(
            rows, "minutes_before:Q", "votes_now:Q", "gauge", x_title="minutes before the boundary",
            y_title="votes", y_format="~s",
        )  # fmt: skip
        chart["encoding"]["x"]["scale"] = {"type": "symlog", "reverse": True}
        chart["encoding"]["x"]["axis"] = {"values": [1440, 240, 60, 15, 5, 1, 0]}
        reading = f"Votes of the {SHOWN} largest gauges at the windows of the newest ended epoch, towards the boundary."
        found.append(Figure("Votes moving", reading, chart, ["preboundary_snapshots"], moving))
    tables = ["preboundary_forecasts", "int_forecast_panel"]
    if rows := read.rows(newest):
        chart = intervals(rows, "gauge:N", "expected", "low", "high", None, x_title="votes of others", x_format="~s")
        truth = {
            "data": chart["data"],
            "mark": {"type": "tick", "thickness": 3, "size": 16, "color": "#D55E00"},
            "encoding": {
                "x": {"field": "final_votes", "type": "quantitative"},
                "y": {"field": "gauge", "type": "nominal", "sort": None},
            },
        }
        chart["layer"].append(truth)
        reading = (
            "What was forecast of others' votes a day before the boundary, from the least to the most of all scenarios "
            "with their mean, and the orange tick where they ended."
        )
        found.append(Figure("Forecast and truth", reading, chart, tables, newest))
    if rows := read.rows(by_window):
        chart = fans(rows, "decision_window:N", "low", "expected", "high", "final_votes", "gauge",
                     x_title="forecast at", y_title="votes")  # fmt: skip
        reading = (
            f"How the forecast of others' votes for the {SHOWN} largest gauges narrowed towards the boundary: the "
            "band of all scenarios with its mean, and dashed where they ended."
        )
        found.append(Figure("Forecast fans", reading, chart, tables, by_window))
    return found
