with markets as (
    select * from {{ ref('stg_ledger__markets') }}
),

unnested as (
    select
        run_id,
        market_id,
        snapshot_at,
        unnest(from_json(payload -> '$.documents', '["JSON"]')) as document
    from markets
),

numbered as (
    select
        *,
        row_number() over (
            partition by run_id, market_id
            order by document ->> '$.url', document ->> '$.title'
        ) as place
    from unnested
)

select
    run_id,
    market_id,
    document ->> '$.title' as title,
    document ->> '$.source' as source,
    document ->> '$.url' as url,
    document ->> '$.text' as text,
    document ->> '$.refused' as refusal_reason,
    place as document_number,
    (document ->> '$.published_at')::timestamptz as published_at,
    (document ->> '$.retrieved_at')::timestamptz as retrieved_at,
    snapshot_at
from numbered
