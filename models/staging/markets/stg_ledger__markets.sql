with source as (
    select * from {{ source('ledger', 'processed_markets') }}
)

select
    run_id,
    market_id,
    event_id,
    payload_sha256,
    payload,
    first_token_id,
    second_token_id,
    attempt,
    midpoint,
    end_at,
    snapshot_at,
    written_at
from source
