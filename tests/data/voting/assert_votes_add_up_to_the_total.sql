-- The exchange's own total equals the sum over its gauges: a gauge missed by the registry would show here.
-- A kill takes a Hydrex gauge's votes out of both; in Velodrome's code it leaves both as they are.
with summed as (
    select
        protocol,
        epoch,
        decision_window,
        sum(votes_now_raw) as votes_raw
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
where points.total_votes_raw <> summed.votes_raw
