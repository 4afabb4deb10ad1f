with voters as (
    select * from {{ ref('stg_voting__voters') }}
),

own_votes as (
    select * from {{ ref('stg_voting__own_votes') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

replayed as (
    select * from {{ ref('int_votes_by_voter') }}
),

scans as (
    select * from {{ ref('stg_voting__event_scans') }}
),

-- where votes restart, the voter contract keeps last epoch's until the next vote: they count only if cast in this epoch
asked as (
    select
        voters.protocol,
        voters.chain_id,
        voters.epoch,
        voters.decision_window,
        voters.voter_id,
        coalesce(voters.account_address, voters.token_id) as actor,
        epochs.votes_reset_each_epoch,
        epochs.voter_kind as votes_by,
        voters.votes_status = 'ok' as is_read,
        not epochs.votes_reset_each_epoch
        or coalesce(voters.last_voted_at >= epochs.epoch_start_at, false) as is_current,
        voters.last_voted_at,
        voters.observed_block
    from voters
    inner join epochs on voters.protocol = epochs.protocol and voters.epoch = epochs.epoch
),

by_contract as (
    select
        asked.protocol,
        asked.epoch,
        asked.decision_window,
        asked.voter_id,
        own_votes.gauge_address,
        max(own_votes.votes_raw) filter (where own_votes.asked = 'voter' and asked.is_current) as votes_raw,
        max(own_votes.votes_raw) filter (where own_votes.asked = 'bribe') as stake_raw
    from asked
    inner join own_votes
        on
            asked.protocol = own_votes.protocol
            and asked.epoch = own_votes.epoch
            and asked.decision_window = own_votes.decision_window
            and asked.voter_id = own_votes.voter_id
    where asked.is_read
    group by all
),

by_events as (
    select
        asked.protocol,
        asked.epoch,
        asked.decision_window,
        asked.voter_id,
        replayed.gauge_address,
        replayed.votes_raw as replayed_raw
    from asked
    inner join replayed
        on
            asked.protocol = replayed.protocol
            and asked.epoch = replayed.epoch
            and asked.decision_window = replayed.decision_window
            and asked.actor = replayed.voter_id
),

-- events know what stands where they restart with the epoch, or where the voter's last vote is among them
known_by_events as (
    select
        asked.*,
        scans.epoch is not null
        and (asked.votes_reset_each_epoch or events_of.first_block is not null) as is_replayable
    from asked
    left join scans
        on
            asked.chain_id = scans.chain_id
            and asked.epoch = scans.epoch
            and asked.observed_block <= scans.to_block
    left join
        (
            select
                protocol,
                actor,
                min(block_number) as first_block
            from {{ ref('stg_voting__events') }}
            where event_kind = 'vote' and is_counted
            group by all
        ) as events_of
        on
            asked.protocol = events_of.protocol
            and asked.actor = events_of.actor
            and asked.observed_block >= events_of.first_block
)

select
    known_by_events.protocol,
    known_by_events.epoch,
    known_by_events.decision_window,
    known_by_events.voter_id,
    gauges.gauge_address,
    known_by_events.is_read as is_asked,
    coalesce(by_contract.votes_raw, 0) as votes_raw,
    coalesce(by_contract.stake_raw, 0) as stake_raw,
    case when known_by_events.is_replayable then coalesce(by_events.replayed_raw, 0) end as replayed_raw
from known_by_events
inner join {{ ref('stg_voting__gauge_states') }} as gauges
    on
        known_by_events.protocol = gauges.protocol
        and known_by_events.epoch = gauges.epoch
        and known_by_events.decision_window = gauges.decision_window
left join by_contract
    on
        known_by_events.protocol = by_contract.protocol
        and known_by_events.epoch = by_contract.epoch
        and known_by_events.decision_window = by_contract.decision_window
        and known_by_events.voter_id = by_contract.voter_id
        and gauges.gauge_address = by_contract.gauge_address
left join by_events
    on
        known_by_events.protocol = by_events.protocol
        and known_by_events.epoch = by_events.epoch
        and known_by_events.decision_window = by_events.decision_window
        and known_by_events.voter_id = by_events.voter_id
        and gauges.gauge_address = by_events.gauge_address
where by_contract.gauge_address is not null or by_events.gauge_address is not null
