with snapshots as (
    select * from {{ ref('preboundary_snapshots') }}
),

voter_windows as (
    select * from {{ ref('int_voter_windows') }}
),

votes as (
    select * from {{ ref('int_own_votes') }}
),

labels as (
    select * from {{ ref('preboundary_truth_labels') }}
),

submitted as (
    select * from {{ ref('int_votes_submitted') }}
),

price_times as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        max(price_updated_at) filter (where value_status = 'ok') as price_updated_at
    from {{ ref('int_rewards_valued') }}
    group by all
),

-- labels of earlier epochs that were known before this decision
history as (
    select
        snapshots.protocol,
        snapshots.epoch,
        snapshots.decision_window,
        snapshots.gauge_address,
        count(*) as history_epochs,
        max(labels.known_at) as history_known_at
    from snapshots
    inner join labels
        on
            snapshots.protocol = labels.protocol
            and snapshots.gauge_address = labels.gauge_address
            and snapshots.epoch > labels.epoch
            and snapshots.decision_at > labels.known_at
    group by all
),

own as (
    select
        snapshots.*,
        voter_windows.voter_id,
        voter_windows.own_votes_status,
        voter_windows.voting_power,
        coalesce(votes_now.stake_raw, 0) as own_votes_now_raw,
        case
            when submitted.epoch is not null then submitted.votes
            -- nothing stands yet: the last allocation is what the voter ended its last epoch with
            when voter_windows.standing_raw = 0
                then coalesce(votes_last.stake_raw, 0)::double / pow(10, {{ threshold('votes_decimals') }})
            else coalesce(votes_now.stake_raw, 0)::double / pow(10, {{ threshold('votes_decimals') }})
        end as previous_votes,
        price_times.price_updated_at,
        coalesce(history.history_epochs, 0) as history_epochs,
        history.history_known_at
    from snapshots
    inner join voter_windows
        on
            snapshots.protocol = voter_windows.protocol
            and snapshots.epoch = voter_windows.epoch
            and snapshots.decision_window = voter_windows.decision_window
    left join votes as votes_now
        on
            snapshots.protocol = votes_now.protocol
            and snapshots.epoch = votes_now.epoch
            and snapshots.decision_window = votes_now.decision_window
            and snapshots.gauge_address = votes_now.gauge_address
            and voter_windows.voter_id = votes_now.voter_id
    left join votes as votes_last
        on
            snapshots.protocol = votes_last.protocol
            and voter_windows.last_voted_epoch = votes_last.epoch
            and votes_last.decision_window = 'boundary'
            and snapshots.gauge_address = votes_last.gauge_address
            and voter_windows.voter_id = votes_last.voter_id
    left join submitted
        on
            snapshots.protocol = submitted.protocol
            and snapshots.epoch = submitted.epoch
            and snapshots.decision_window = submitted.decision_window
            and snapshots.gauge_address = submitted.gauge_address
            and voter_windows.voter_id = submitted.voter_id
    left join price_times
        on
            snapshots.protocol = price_times.protocol
            and snapshots.epoch = price_times.epoch
            and snapshots.decision_window = price_times.decision_window
            and snapshots.gauge_address = price_times.gauge_address
    left join history
        on
            snapshots.protocol = history.protocol
            and snapshots.epoch = history.epoch
            and snapshots.decision_window = history.decision_window
            and snapshots.gauge_address = history.gauge_address
    where not voter_windows.is_control
),

scaled as (
    select
        *,
        case
            when own_votes_status <> 'unknown' and paying_supply_raw >= own_votes_now_raw
                then paying_supply_raw - own_votes_now_raw
        end as other_votes_now_raw,
        own_votes_now_raw::double / pow(10, {{ threshold('votes_decimals') }}) as own_votes_now,
        case
            when own_votes_status <> 'unknown' and paying_supply_raw >= own_votes_now_raw
                then paying_supply_raw - own_votes_now_raw
        end::double
        / pow(10, {{ threshold('votes_decimals') }}) as other_votes_now
    from own
)

select
    protocol,
    chain_id,
    voter_id,
    epoch,
    decision_window,
    gauge_address,
    gauge_name,
    pool_address,
    own_votes_status,
    exclusion_reasons,
    own_votes_now_raw,
    other_votes_now_raw,
    own_votes_now,
    other_votes_now,
    previous_votes,
    voting_power,
    rewards_now_usd,
    votes_delta_60m,
    votes_delta_15m,
    votes_delta_5m,
    ln(
        (rewards_now_usd + {{ threshold('uplift_floor_usd') }})
        / (other_votes_now + {{ threshold('drift_floor_votes') }})
    ) as log_reward_per_vote,
    reward_count,
    unpriced_count,
    stale_count,
    price_age_seconds,
    history_epochs,
    data_quality_score as confidence,
    decision_block,
    -- a gauge without reward may yet get one: it stays a candidate; one that cannot be read or priced does not
    is_alive and other_votes_now is not null and rewards_now_usd is not null as is_candidate,
    stale_count > 0 as is_price_stale,
    unpriced_count > 0 as is_partly_unpriced,
    is_votes_confirmed,
    boundary_at,
    decision_at,
    observed_at as votes_known_at,
    observed_at as rewards_known_at,
    price_updated_at as price_known_at,
    history_known_at
from scaled
