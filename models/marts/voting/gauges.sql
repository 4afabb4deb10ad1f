with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
)

select
    protocol,
    chain_id,
    gauge_address,
    max_by(pool_address, observed_block) as pool_address,
    max_by(is_alive, observed_block) as is_alive,
    count(distinct epoch) as epoch_count,
    min(observed_block) as first_observed_block,
    max(observed_block) as last_observed_block,
    min(observed_at) as first_observed_at,
    max(observed_at) as last_observed_at
from gauge_windows
group by protocol, chain_id, gauge_address
