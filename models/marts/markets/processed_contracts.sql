with markets as (
    select * from {{ ref('stg_ledger__markets') }}
),

unnested as (
    select
        run_id,
        market_id,
        snapshot_at,
        unnest(from_json(payload -> '$.contracts', '["JSON"]')) as contract
    from markets
)

select
    run_id,
    market_id,
    (contract ->> '$.outcome_index')::integer as outcome_index,
    contract ->> '$.outcome' as outcome,
    contract ->> '$.token_id' as token_id,
    (contract ->> '$.price')::double as price,
    (contract ->> '$.bid')::double as best_bid,
    (contract ->> '$.ask')::double as best_ask,
    snapshot_at
from unnested
