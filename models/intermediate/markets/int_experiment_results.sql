with markets as (
    select * from {{ ref('stg_ledger__markets') }}
),

unnested as (
    select
        run_id,
        market_id,
        event_id,
        first_token_id,
        second_token_id,
        end_at,
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
    -- a version that let `true` pass for a number has written such rows: no result, and no end of every build
    case
        when result ->> '$.kind' = 'forecast' and try_cast(result ->> '$.probability' as double) is null then 'skip'
        else result ->> '$.kind'
    end as result_kind,
    case
        when result ->> '$.kind' = 'forecast' and try_cast(result ->> '$.probability' as double) is null
            then 'its probability is no number'
        else result ->> '$.reason'
    end as skip_reason,
    result ->> '$.side' as stake_side,
    result ->> '$.input_hash' as input_sha256,
    result ->> '$.details.training_cutoff' as training_cutoff,
    first_token_id,
    second_token_id,
    try_cast(result ->> '$.probability' as double) as probability,
    (result ->> '$.fraction')::double as stake_fraction,
    (result ->> '$.price')::double as stake_price,
    (result ->> '$.known_until')::timestamptz as known_until_at,
    end_at,
    snapshot_at
from unnested
