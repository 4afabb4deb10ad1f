with source as (
    {{ newest_committed('voting_rewards') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    gauge_address,
    bribe_address,
    bribe_kind,
    token_address,
    case
        when reward_status = 'ok' and try_cast(reward_raw as decimal(38, 0)) is null then 'overflow'
        else reward_status
    end as reward_status,
    try_cast(reward_raw as decimal(38, 0)) as reward_raw,
    try_cast(residual_balance_raw as decimal(38, 0)) as residual_balance_raw,
    times_listed,
    observed_block,
    observed_at
from source
