with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
)

select
    protocol,
    chain_id,
    epoch,
    gauge_address,
    pool_address,
    votes_status,
    votes_raw,
    votes_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes,
    rewards_usd,
    reward_count,
    unpriced_count,
    observed_block,
    is_alive,
    observed_at
from gauge_windows
where decision_window = 'boundary'
