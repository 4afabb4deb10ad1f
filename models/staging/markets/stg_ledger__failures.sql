with source as (
    select * from {{ source('ledger', 'processing_failures') }}
)

select
    run_id,
    attempt,
    nullif(market_id, '') as market_id,
    stage,
    nullif(experiment, '') as experiment,
    problem,
    error_class,
    message as error_message,
    is_retriable,
    is_stale_success,
    failed_at
from source
