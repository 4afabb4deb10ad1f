with source as (
    {{ newest_committed('voting_windows') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    decision_block_hash,
    provider,
    epoch_on_chain,
    gauges as gauge_count,
    decision_block,
    observed_block,
    try_cast(total_votes_raw as decimal(38, 0)) as total_votes_raw,
    target_at,
    decision_at,
    observed_at,
    fetched_at
from source
