{{ config(severity = 'warn') }}
-- A CSU whose newest complete or incomplete day lies behind the newest day of the panel was not refreshed.
with newest as (
    select
        csu_id,
        max(day) filter (where panel_status in ('complete', 'incomplete')) as newest_day,
        max(day) as panel_day
    from {{ ref('csu_daily_panel') }}
    where panel_status <> 'unsupported'
    group by csu_id
    having bool_or(panel_status in ('complete', 'incomplete'))
)

select *
from newest
where panel_day - newest_day > {{ threshold('panel_stale_days') }}
