with windows as (
    select * from {{ ref('stg_voting__windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

gauge_states as (
    select * from {{ ref('stg_voting__gauge_states') }}
),

events as (
    select * from {{ ref('stg_voting__events') }}
),

event_scans as (
    select * from {{ ref('stg_voting__event_scans') }}
),

points as (
    select
        protocol,
        chain_id,
        epoch,
        decision_block as replay_block,
        decision_at as replay_at
    from windows
    union
    select
        protocol,
        chain_id,
        epoch,
        observed_block as replay_block,
        observed_at as replay_at
    from windows
),

epoch_gauges as (
    select distinct
        protocol,
        epoch,
        gauge_address,
        pool_address
    from gauge_states
),

-- where votes carry over, an epoch starts from the final state of the one before it
anchored_epochs as (
    select
        protocol,
        extract(epoch from target_at)::bigint as epoch
    from windows
    where decision_window = 'boundary'
),

anchors as (
    select
        gauge_states.protocol,
        extract(epoch from windows.target_at)::bigint as epoch,
        gauge_states.gauge_address,
        gauge_states.votes_raw as anchor_raw
    from gauge_states
    inner join windows
        on
            gauge_states.protocol = windows.protocol
            and gauge_states.epoch = windows.epoch
            and gauge_states.decision_window = windows.decision_window
    where gauge_states.decision_window = 'boundary'
),

votes as (
    select
        events.protocol,
        epochs.epoch,
        epoch_gauges.gauge_address,
        events.block_number,
        events.log_index,
        events.block_at,
        events.total_after_raw,
        case when events.vote_sign < 0 then -events.amount_raw else events.amount_raw end as delta_raw
    from events
    inner join epochs
        on
            events.protocol = epochs.protocol
            and events.block_number >= epochs.start_block
            and events.block_number < coalesce(epochs.flip_block, events.block_number + 1)
    inner join epoch_gauges
        on
            epochs.protocol = epoch_gauges.protocol
            and epochs.epoch = epoch_gauges.epoch
            and (
                events.gauge_address = epoch_gauges.gauge_address
                or events.pool_address = epoch_gauges.pool_address
            )
    where events.event_kind = 'vote' and events.is_counted
),

kills as (
    select
        protocol,
        gauge_address,
        block_number as kill_block
    from events
    where event_kind = 'gauge_killed'
),

gauge_points as (
    select
        points.protocol,
        points.chain_id,
        points.epoch,
        points.replay_block,
        points.replay_at,
        epoch_gauges.gauge_address,
        epochs.votes_reset_each_epoch,
        coalesce(
            max(kills.kill_block) filter (where epochs.kill_clears_votes and kills.kill_block <= points.replay_block),
            -1
        ) as cleared_block
    from points
    inner join epochs on points.protocol = epochs.protocol and points.epoch = epochs.epoch
    inner join epoch_gauges on points.protocol = epoch_gauges.protocol and points.epoch = epoch_gauges.epoch
    left join kills
        on
            epoch_gauges.protocol = kills.protocol
            and epoch_gauges.gauge_address = kills.gauge_address
            and kills.kill_block >= epochs.start_block
    group by all
),

summed as (
    select
        gauge_points.protocol,
        gauge_points.chain_id,
        gauge_points.epoch,
        gauge_points.replay_block,
        gauge_points.gauge_address,
        gauge_points.votes_reset_each_epoch,
        gauge_points.cleared_block,
        coalesce(sum(votes.delta_raw) filter (where votes.block_number > gauge_points.cleared_block), 0) as delta_raw,
        max_by(votes.total_after_raw, (votes.block_number, votes.log_index)) as last_total_raw,
        coalesce(
            sum(votes.delta_raw) filter (where votes.block_at > gauge_points.replay_at - interval 60 minute), 0
        ) as votes_delta_60m_raw,
        coalesce(
            sum(votes.delta_raw) filter (where votes.block_at > gauge_points.replay_at - interval 15 minute), 0
        ) as votes_delta_15m_raw,
        coalesce(
            sum(votes.delta_raw) filter (where votes.block_at > gauge_points.replay_at - interval 5 minute), 0
        ) as votes_delta_5m_raw
    from gauge_points
    left join votes
        on
            gauge_points.protocol = votes.protocol
            and gauge_points.epoch = votes.epoch
            and gauge_points.gauge_address = votes.gauge_address
            and votes.block_number <= gauge_points.replay_block
    group by all
)

select
    summed.protocol,
    summed.epoch,
    summed.replay_block,
    summed.gauge_address,
    case
        when event_scans.epoch is null then 'not_scanned'
        when summed.votes_reset_each_epoch or anchored_epochs.epoch is not null then 'exact'
        when summed.last_total_raw is not null then 'last_total'
        else 'no_anchor'
    end as replay_status,
    case
        when event_scans.epoch is null then null
        -- a voter who resets after a kill withdraws what the kill already cleared
        when summed.votes_reset_each_epoch then greatest(summed.delta_raw, 0)
        when anchored_epochs.epoch is not null then coalesce(anchors.anchor_raw, 0) + summed.delta_raw
        else summed.last_total_raw
    end as votes_replayed_raw,
    summed.votes_delta_60m_raw,
    summed.votes_delta_15m_raw,
    summed.votes_delta_5m_raw
from summed
left join anchored_epochs on summed.protocol = anchored_epochs.protocol and summed.epoch = anchored_epochs.epoch
left join anchors
    on
        summed.protocol = anchors.protocol
        and summed.epoch = anchors.epoch
        and summed.gauge_address = anchors.gauge_address
left join event_scans
    on
        summed.chain_id = event_scans.chain_id
        and summed.epoch = event_scans.epoch
        and summed.replay_block <= event_scans.to_block
