with source as (
    {{ newest_committed('voting_gauges') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    gauge_address,
    pool_address,
    case
        when votes_status = 'ok' and try_cast(votes_raw as decimal(38, 0)) is null then 'overflow'
        else votes_status
    end as votes_status,
    try_cast(votes_raw as decimal(38, 0)) as votes_raw,
    is_alive,
    observed_block,
    observed_at
from source
