with source as (
    {{ newest_committed('lending_snapshots') }}
)

select
    csu_id,
    family,
    chain,
    chain_id,
    registry_address,
    status as snapshot_status,
    reason as snapshot_reason,
    confirmation,
    provider,
    reserve_count,
    observed_block,
    day,
    observed_at,
    fetched_at
from source
