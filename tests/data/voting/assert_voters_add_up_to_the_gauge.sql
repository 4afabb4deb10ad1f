-- Own votes are taken out of V: they must be exact. Where events confirm a gauge, the standing votes of all voters add
-- up to it, gauge by gauge and window by window (2026-11: 7,694 of 7,694 rows of the embedded world). Where votes
-- carry over and extraction began in mid-life, replay starts from an anchor state before the first epoch: who cast those votes
-- is not known, so such exchanges are left out.
with anchored as (
    select states.protocol
    from {{ ref('stg_voting__gauge_states') }} as states
    inner join (
        select
            protocol,
            min(epoch) as first_epoch
        from {{ ref('stg_voting__epochs') }}
        group by protocol
    ) as epochs
        on states.protocol = epochs.protocol
    where states.epoch < epochs.first_epoch
    group by states.protocol
),

summed as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        sum(votes_raw) as votes_raw
    from {{ ref('int_votes_by_voter') }}
    group by all
)

select
    gauge_windows.protocol,
    gauge_windows.epoch,
    gauge_windows.decision_window,
    gauge_windows.gauge_address,
    gauge_windows.votes_raw,
    summed.votes_raw as voters_raw
from {{ ref('int_gauge_windows') }} as gauge_windows
left join summed
    on
        gauge_windows.protocol = summed.protocol
        and gauge_windows.epoch = summed.epoch
        and gauge_windows.decision_window = summed.decision_window
        and gauge_windows.gauge_address = summed.gauge_address
where
    gauge_windows.protocol not in (select protocol from anchored)
    and gauge_windows.is_votes_confirmed
    and gauge_windows.replay_status = 'exact'
    and gauge_windows.is_alive
    and coalesce(summed.votes_raw, 0) <> gauge_windows.votes_raw
