with days as (
    select * from {{ ref('stg_lending__days') }}
)

select
    chain,
    chain_id,
    last_block_hash,
    provider,
    first_block,
    last_block,
    last_block - first_block + 1 as block_count,
    {{ seconds_between('window_start_at', 'window_end_at') }} // 3600 as day_hours,
    day,
    window_start_at,
    window_end_at,
    last_block_at,
    next_block_at
from days
