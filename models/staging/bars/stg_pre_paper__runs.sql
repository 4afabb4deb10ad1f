with source as (
    {{ newest_committed('pre_paper_runs') }}
)

select
    run_id,
    rules_hash,
    strategy_key,
    impl_version,
    feed,
    symbols,
    params,
    landed_at
from source
