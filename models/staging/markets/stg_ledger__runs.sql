with source as (
    select * from {{ source('ledger', 'processing_runs') }}
)

select
    run_id,
    status,
    owner,
    code_version,
    config_sha256,
    error as error_message,
    experiments,
    window_days,
    attempt,
    listed_count,
    refused_count,
    run_date,
    target_date,
    snapshot_at,
    claimed_at,
    started_at,
    finished_at
from source
