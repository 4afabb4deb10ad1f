with source as (
    {{ newest_committed('lending_days') }}
)

select
    chain,
    chain_id,
    last_block_hash,
    provider,
    first_block,
    last_block,
    day,
    window_start_at,
    window_end_at,
    last_block_at,
    next_block_at,
    fetched_at
from source
