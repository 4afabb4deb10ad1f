-- The exchange's own total equals the sum over its gauges. A killed gauge's votes leave the total in both
-- families' newer code but stay on the pool in Velodrome's, so gauges that are not alive are left out of doubt.
with summed as (
    select
        protocol,
        epoch,
        decision_window,
        sum(votes_now_raw) as votes_raw,
        bool_and(is_alive) as is_all_alive
    from {{ ref('preboundary_snapshots') }}
    group by all
)

select
    points.protocol,
    points.epoch,
    points.decision_window,
    points.total_votes_raw,
    summed.votes_raw
from {{ ref('decision_points') }} as points
inner join summed
    on
        points.protocol = summed.protocol
        and points.epoch = summed.epoch
        and points.decision_window = summed.decision_window
where summed.is_all_alive and points.total_votes_raw <> summed.votes_raw
