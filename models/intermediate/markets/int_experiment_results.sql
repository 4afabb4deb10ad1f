with markets as (
    select * from {{ ref('stg_ledger__markets') }}
),

unnested as (
    select
        run_id,
        market_id,
        event_id,
        snapshot_at,
        unnest(from_json(payload -> '$.results', '["JSON"]')) as result
    from markets
)

select
    run_id,
    market_id,
    event_id,
    result ->> '$.experiment' as experiment,
    result ->> '$.version' as experiment_version,
    result ->> '$.kind' as result_kind,
    result ->> '$.reason' as skip_reason,
    result ->> '$.side' as stake_side,
    result ->> '$.input_hash' as input_sha256,
    (result ->> '$.probability')::double as probability,
    (result ->> '$.fraction')::double as stake_fraction,
    (result ->> '$.price')::double as stake_price,
    (result ->> '$.known_until')::timestamptz as known_until_at,
    snapshot_at
from unnested
