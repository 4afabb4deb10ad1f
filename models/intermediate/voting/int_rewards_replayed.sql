with windows as (
    select * from {{ ref('stg_voting__windows') }}
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
        decision_block as replay_block
    from windows
    union
    select
        protocol,
        chain_id,
        epoch,
        observed_block as replay_block
    from windows
),

scanned_points as (
    select points.*
    from points
    inner join event_scans
        on
            points.chain_id = event_scans.chain_id
            and points.epoch = event_scans.epoch
            and points.replay_block <= event_scans.to_block
)

select
    scanned_points.protocol,
    scanned_points.epoch,
    scanned_points.replay_block,
    events.gauge_address,
    events.emitter_address as bribe_address,
    events.token_address,
    -- a reward beyond 38 digits is no reward of nothing: the sum is then not known
    if(count(*) = count(events.amount_raw), {{ exact_sum('events.amount_raw') }}, null) as reward_replayed_raw
from scanned_points
inner join events
    on
        scanned_points.protocol = events.protocol
        and scanned_points.epoch = events.event_epoch
        and events.block_number <= scanned_points.replay_block
where events.event_kind = 'reward'
group by all
