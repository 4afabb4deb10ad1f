with rewards as (
    select * from {{ ref('int_rewards_valued') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

gauges as (
    select * from {{ ref('gauges') }}
)

select
    rewards.protocol,
    rewards.chain_id,
    rewards.epoch,
    rewards.gauge_address,
    gauges.gauge_name,
    rewards.bribe_address,
    rewards.bribe_kind,
    rewards.token_address,
    rewards.token_symbol,
    rewards.value_status,
    rewards.price_status,
    rewards.price_source,
    rewards.reward_raw,
    rewards.residual_balance_raw,
    rewards.token_decimals,
    rewards.reward_amount,
    rewards.price_usd,
    rewards.reward_usd,
    rewards.price_age_seconds,
    rewards.times_listed,
    rewards.observed_block,
    rewards.observed_at
from rewards
inner join epochs on rewards.protocol = epochs.protocol and rewards.epoch = epochs.epoch
left join gauges on rewards.protocol = gauges.protocol and rewards.gauge_address = gauges.gauge_address
where rewards.decision_window = 'boundary'
