with events as (
    select * from {{ ref('stg_voting__events') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

windows as (
    select * from {{ ref('stg_voting__windows') }}
),

gauge_states as (
    select * from {{ ref('stg_voting__gauge_states') }}
),

addresses as (
    select distinct
        protocol,
        gauge_address,
        pool_address
    from gauge_states
),

votes as (
    select
        events.protocol,
        epochs.epoch,
        addresses.gauge_address,
        events.actor as voter_id,
        epochs.votes_reset_each_epoch,
        -- votes that restart are summed within their epoch; votes that carry over live until the next event
        case when epochs.votes_reset_each_epoch then epochs.epoch else 0 end as vote_span,
        events.block_number,
        events.block_at,
        events.log_index,
        case when events.vote_sign < 0 then -events.amount_raw else events.amount_raw end as delta_raw
    from events
    inner join epochs
        on
            events.protocol = epochs.protocol
            and events.block_number >= epochs.start_block
            and events.block_number < coalesce(epochs.flip_block, events.block_number + 1)
    inner join addresses
        on
            events.protocol = addresses.protocol
            and (events.gauge_address = addresses.gauge_address or events.pool_address = addresses.pool_address)
    where events.event_kind = 'vote' and events.is_counted and events.actor is not null
),

kills as (
    select
        events.protocol,
        epochs.epoch,
        events.gauge_address,
        min(events.block_number) as kill_block
    from events
    inner join epochs
        on
            events.protocol = epochs.protocol
            and events.block_number >= epochs.start_block
            and events.block_number < coalesce(epochs.flip_block, events.block_number + 1)
    where events.event_kind = 'gauge_killed' and epochs.kill_clears_votes
    group by all
),

standing as (
    select
        votes.*,
        case
            when votes_reset_each_epoch
                then greatest(
                    sum(delta_raw) over (
                        partition by protocol, voter_id, gauge_address, vote_span
                        order by block_number, log_index
                    ),
                    0
                )
            -- a vote is withdrawn in full before it is cast anew, so the last event says what stands
            else greatest(delta_raw, 0)
        end as votes_raw,
        lead(block_number) over (
            partition by protocol, voter_id, gauge_address, vote_span
            order by block_number, log_index
        ) as replaced_block
    from votes
),

-- a window is one of its epoch's span, for votes that restart, and one of the span that never ends
points as (
    select
        protocol,
        vote_span,
        observed_block,
        row_number() over (partition by protocol, vote_span order by observed_block) as position
    from (
        select distinct
            protocol,
            unnest([epoch, 0]) as vote_span,
            observed_block
        from windows
    ) as distinct_points
),

-- the first point that sees a vote; asked for point by point, votes would meet every window of the past
seen as (
    select
        standing.*,
        points.position as first_position
    from standing
    asof inner join points
        on
            standing.protocol = points.protocol
            and standing.vote_span = points.vote_span
            and standing.block_number <= points.observed_block
    where standing.votes_raw > 0
),

-- and the first that no longer does; in DuckDB 1.5.5 a null meets a point, too, in 2.0 none
ended as (
    select
        seen.*,
        if(seen.replaced_block is null, null, points.position) as end_position
    from seen
    asof left join points
        on
            seen.protocol = points.protocol
            and seen.vote_span = points.vote_span
            and seen.replaced_block <= points.observed_block
),

last_positions as (
    select
        protocol,
        vote_span,
        max(position) as last_position
    from points
    group by all
),

standing_points as (
    select
        ended.*,
        unnest(range(ended.first_position, coalesce(ended.end_position, last_positions.last_position + 1)))
            as position
    from ended
    inner join last_positions
        on ended.protocol = last_positions.protocol and ended.vote_span = last_positions.vote_span
)

select
    standing_points.protocol,
    windows.epoch,
    windows.decision_window,
    standing_points.gauge_address,
    standing_points.voter_id,
    standing_points.votes_raw,
    standing_points.block_number as voted_block,
    windows.observed_block,
    standing_points.block_at as voted_at,
    windows.observed_at
from standing_points
inner join points
    on
        standing_points.protocol = points.protocol
        and standing_points.vote_span = points.vote_span
        and standing_points.position = points.position
inner join windows
    on
        points.protocol = windows.protocol
        and points.observed_block = windows.observed_block
        and (points.vote_span = 0 or points.vote_span = windows.epoch)
left join kills
    on
        standing_points.protocol = kills.protocol
        and standing_points.epoch = kills.epoch
        and standing_points.gauge_address = kills.gauge_address
        and standing_points.block_number <= kills.kill_block
        and kills.kill_block <= windows.observed_block
        and windows.epoch = kills.epoch
where kills.kill_block is null
