-- New York days of a chain meet exactly, in time and in blocks: a gap loses liquidations, an overlap counts them twice.
with days as (
    select
        chain,
        day,
        window_start_at,
        first_block,
        lag(day) over (partition by chain order by day) as previous_day,
        lag(window_end_at) over (partition by chain order by day) as previous_end_at,
        lag(last_block) over (partition by chain order by day) as previous_last_block
    from {{ ref('csu_snapshot_blocks') }}
)

select *
from days
where
    day = previous_day + interval 1 day
    and (window_start_at <> previous_end_at or first_block <> previous_last_block + 1)
