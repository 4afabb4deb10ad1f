with source as (
    {{ newest_committed('polymarket_resolutions') }}
)

select
    market_id,
    condition_id,
    status,
    reason,
    winning_outcome,
    winning_token_id,
    clob_winning_token_id,
    outcomes,
    outcome_prices_text,
    uma_status,
    uma_statuses,
    notes,
    label,
    is_closed,
    is_turned,
    is_automatically_resolved,
    closed_at,
    uma_end_at,
    resolved_at,
    end_at,
    observed_at,
    fetched_at
from source
-- two batches of one moment may hold the same market
qualify row_number() over (partition by market_id, observed_at order by fetched_at desc) = 1
