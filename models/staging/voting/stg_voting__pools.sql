with source as (
    {{ newest_committed('voting_pools') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    gauge_address,
    pool_address,
    {{ plain_text('pool_symbol') }} as pool_symbol,
    token0_address,
    token1_address,
    {{ plain_text('token0_symbol') }} as token0_symbol,
    {{ plain_text('token1_symbol') }} as token1_symbol,
    observed_block,
    observed_at
from source
