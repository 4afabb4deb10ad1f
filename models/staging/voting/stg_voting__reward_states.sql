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
    reward_status,
    reward_raw as reward_text,
    try_cast(reward_raw as decimal(38, 0)) as reward_raw,
    try_cast(residual_balance_raw as decimal(38, 0)) as residual_balance_raw,
    times_listed,
    observed_block,
    observed_at
from source
