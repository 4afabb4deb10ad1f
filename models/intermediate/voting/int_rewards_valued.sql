with rewards as (
    select * from {{ ref('stg_voting__reward_states') }}
),

prices as (
    select * from {{ ref('stg_voting__prices') }}
),

replayed as (
    select * from {{ ref('int_rewards_replayed') }}
),

scans as (
    select * from {{ ref('stg_voting__event_scans') }}
),

priced as (
    select
        rewards.*,
        prices.token_symbol,
        prices.token_decimals,
        prices.price_source,
        prices.price_updated_at,
        {{ seconds_between('prices.price_updated_at', 'rewards.observed_at') }} as price_age_seconds,
        case
            when prices.price_status <> 'ok' then prices.price_status
            when prices.price_updated_at > rewards.observed_at then 'after_block'
            when
                {{ seconds_between('prices.price_updated_at', 'rewards.observed_at') }}
                > {{ threshold('price_max_age_seconds') }} then 'too_old'
            when
                {{ seconds_between('prices.price_updated_at', 'rewards.observed_at') }}
                > {{ threshold('price_stale_seconds') }} then 'stale'
            else 'ok'
        end as price_status,
        prices.price_usd as source_price_usd
    from rewards
    left join prices
        on
            rewards.protocol = prices.protocol
            and rewards.epoch = prices.epoch
            and rewards.decision_window = prices.decision_window
            and rewards.token_address = prices.token_address
),

scaled as (
    select
        *,
        case when price_status in ('ok', 'stale') then source_price_usd end as price_usd,
        reward_raw::double / pow(10, token_decimals) as reward_amount
    from priced
)

select
    scaled.protocol,
    scaled.chain_id,
    scaled.epoch,
    scaled.decision_window,
    scaled.gauge_address,
    scaled.bribe_address,
    scaled.bribe_kind,
    scaled.token_address,
    scaled.token_symbol,
    scaled.reward_status,
    scaled.price_status,
    scaled.price_source,
    case
        when scaled.reward_raw is null then 'unread'
        when scaled.reward_raw = 0 then 'zero'
        when scaled.token_decimals is null then 'no_decimals'
        when scaled.price_usd is null then 'unpriced'
        else 'ok'
    end as value_status,
    scaled.reward_raw,
    scaled.residual_balance_raw,
    case
        when scans.epoch is null then null
        when replayed.token_address is null then 0
        else replayed.reward_replayed_raw
    end as reward_replayed_raw,
    scaled.reward_amount,
    scaled.price_usd,
    case when scaled.reward_raw = 0 then 0.0 else scaled.reward_amount * scaled.price_usd end as reward_usd,
    scaled.price_age_seconds,
    scaled.token_decimals,
    scaled.times_listed,
    scaled.observed_block,
    scaled.price_updated_at,
    scaled.observed_at
from scaled
left join replayed
    on
        scaled.protocol = replayed.protocol
        and scaled.epoch = replayed.epoch
        and scaled.observed_block = replayed.replay_block
        and scaled.bribe_address = replayed.bribe_address
        and scaled.token_address = replayed.token_address
left join scans
    on
        scaled.chain_id = scans.chain_id
        and scaled.epoch = scans.epoch
        and scaled.observed_block <= scans.to_block
