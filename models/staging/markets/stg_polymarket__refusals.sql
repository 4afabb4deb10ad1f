with source as (
    {{ newest_committed('polymarket_refusals') }}
)

select
    run_date,
    window_days,
    page_number,
    record_number,
    market_id,
    refusal_kind,
    reason,
    field,
    detail,
    observed_at,
    fetched_at
from source
