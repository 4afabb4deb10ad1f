with source as (
    select * from {{ source('ledger', 'processed_markets') }}
)

select
    run_id,
    market_id,
    event_id,
    payload_sha256,
    payload,
    attempt,
    midpoint,
    snapshot_at,
    written_at
from source
