with source as (
    select * from {{ source('ledger', 'market_outcomes') }}
)

select
    market_id,
    status as resolution_status,
    label,
    resolved_at,
    known_at,
    checked_at
from source
