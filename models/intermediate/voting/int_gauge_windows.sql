with windows as (
    select * from {{ ref('stg_voting__windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

gauge_states as (
    select * from {{ ref('stg_voting__gauge_states') }}
),

rewards as (
    select * from {{ ref('int_rewards_valued') }}
),

replayed as (
    select * from {{ ref('int_votes_replayed') }}
),

bribes as (
    select * from {{ ref('stg_voting__bribes') }}
),

-- what dilutes a reward are the stakes of the contract that pays it; bribes that were replaced take no new ones
paying as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        max(supply_raw) filter (where not is_replaced) as paying_supply_raw,
        count(*) filter (
            where bribe_address is null or supply_raw is null or list_status <> 'ok' or tokens_unread > 0
        ) as unread_bribe_count
    from bribes
    group by all
),

gauge_rewards as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        count(*) filter (where value_status not in ('zero', 'unread')) as reward_count,
        count(*) filter (where value_status in ('unpriced', 'no_decimals')) as unpriced_count,
        count(*) filter (where value_status = 'unread') as unread_count,
        count(*) filter (where value_status = 'ok' and price_status = 'stale') as stale_count,
        count(*) filter (where reward_raw is distinct from reward_replayed_raw and reward_replayed_raw is not null)
            as mismatch_count,
        -- in a fixed order: sums of floats depend on it
        sum(reward_usd order by bribe_address, token_address) as priced_usd,
        max(price_age_seconds) filter (where value_status = 'ok') as price_age_seconds,
        md5(
            string_agg(bribe_address || token_address || reward_text, ',' order by bribe_address, token_address)
            filter (where value_status not in ('zero', 'unread'))
        ) as reward_signature
    from rewards
    where not is_replaced
    group by all
)

select
    gauge_states.protocol,
    gauge_states.chain_id,
    gauge_states.epoch,
    gauge_states.decision_window,
    gauge_states.gauge_address,
    gauge_states.pool_address,
    gauge_states.votes_status,
    coalesce(replayed.replay_status, 'not_scanned') as replay_status,
    gauge_rewards.reward_signature,
    gauge_states.votes_raw,
    paying.paying_supply_raw,
    replayed.votes_replayed_raw,
    coalesce(gauge_rewards.reward_count, 0) as reward_count,
    coalesce(gauge_rewards.unpriced_count, 0) as unpriced_count,
    coalesce(gauge_rewards.unread_count, 0) + coalesce(paying.unread_bribe_count, 0) as unread_count,
    coalesce(gauge_rewards.stale_count, 0) as stale_count,
    coalesce(gauge_rewards.mismatch_count, 0) as reward_mismatch_count,
    -- no reward is zero dollars; rewards that nothing prices are unknown dollars
    case
        when coalesce(gauge_rewards.unread_count, 0) + coalesce(paying.unread_bribe_count, 0) > 0 then null
        when coalesce(gauge_rewards.reward_count, 0) = 0 then 0.0
        when gauge_rewards.reward_count = gauge_rewards.unpriced_count then null
        else gauge_rewards.priced_usd
    end as rewards_usd,
    gauge_rewards.price_age_seconds,
    windows.decision_block,
    gauge_states.observed_block,
    coalesce(gauge_states.is_alive, false) as is_alive,
    gauge_states.votes_raw = replayed.votes_replayed_raw as is_votes_confirmed,
    -- a kill takes votes out of the weight and leaves the stakes
    case when gauge_states.is_alive then gauge_states.votes_raw = paying.paying_supply_raw end as is_supply_confirmed,
    windows.target_at,
    windows.decision_at,
    gauge_states.observed_at,
    epochs.epoch_start_at,
    epochs.boundary_at
from gauge_states
inner join windows
    on
        gauge_states.protocol = windows.protocol
        and gauge_states.epoch = windows.epoch
        and gauge_states.decision_window = windows.decision_window
inner join epochs on gauge_states.protocol = epochs.protocol and gauge_states.epoch = epochs.epoch
left join paying
    on
        gauge_states.protocol = paying.protocol
        and gauge_states.epoch = paying.epoch
        and gauge_states.decision_window = paying.decision_window
        and gauge_states.gauge_address = paying.gauge_address
left join gauge_rewards
    on
        gauge_states.protocol = gauge_rewards.protocol
        and gauge_states.epoch = gauge_rewards.epoch
        and gauge_states.decision_window = gauge_rewards.decision_window
        and gauge_states.gauge_address = gauge_rewards.gauge_address
left join replayed
    on
        gauge_states.protocol = replayed.protocol
        and gauge_states.epoch = replayed.epoch
        and gauge_states.observed_block = replayed.replay_block
        and gauge_states.gauge_address = replayed.gauge_address
