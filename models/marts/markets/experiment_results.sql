with results as (
    select * from {{ ref('int_experiment_results') }}
)

select
    run_id,
    market_id,
    event_id,
    experiment,
    experiment_version,
    result_kind,
    skip_reason,
    stake_side,
    input_sha256,
    probability,
    stake_fraction,
    stake_price,
    known_until_at,
    snapshot_at
from results
