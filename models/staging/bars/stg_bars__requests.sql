with source as (
    {{ newest_committed('bar_requests') }}
)

select
    partition_id,
    provider,
    feed,
    symbol,
    timeframe,
    row_count,
    actions_status,
    from_date,
    to_date,
    reach_from,
    reach_until,
    fetched_at
from source
