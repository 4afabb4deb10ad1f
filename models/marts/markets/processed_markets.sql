with markets as (
    select * from {{ ref('stg_ledger__markets') }}
)

select
    run_id,
    market_id,
    event_id,
    payload ->> '$.snapshot.condition_id' as condition_id,
    payload ->> '$.snapshot.question' as question,
    payload ->> '$.snapshot.category' as category,
    payload ->> '$.snapshot.group_id' as neg_risk_market_id,
    payload_sha256,
    attempt,
    (payload ->> '$.snapshot.price')::double as price,
    midpoint,
    (payload ->> '$.snapshot.liquidity_usd')::double as liquidity_usd,
    (payload ->> '$.snapshot.volume_usd')::double as volume_usd,
    (payload ->> '$.snapshot.end_at')::timestamptz as end_at,
    (payload ->> '$.snapshot.observed_at')::timestamptz as observed_at,
    snapshot_at,
    written_at
from markets
