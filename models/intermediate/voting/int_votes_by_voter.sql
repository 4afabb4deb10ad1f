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
)

select
    standing.protocol,
    windows.epoch,
    windows.decision_window,
    standing.gauge_address,
    standing.voter_id,
    standing.votes_raw,
    standing.block_number as voted_block,
    windows.observed_block,
    standing.block_at as voted_at,
    windows.observed_at
from standing
inner join windows
    on
        standing.protocol = windows.protocol
        and standing.vote_span in (windows.epoch, 0)
        and standing.block_number <= windows.observed_block
        and coalesce(standing.replaced_block, windows.observed_block + 1) > windows.observed_block
left join kills
    on
        standing.protocol = kills.protocol
        and standing.epoch = kills.epoch
        and standing.gauge_address = kills.gauge_address
        and standing.block_number <= kills.kill_block
        and kills.kill_block <= windows.observed_block
        and windows.epoch = kills.epoch
where standing.votes_raw > 0 and kills.kill_block is null
