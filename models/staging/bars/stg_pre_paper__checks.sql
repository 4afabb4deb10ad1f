with source as (
    {{ newest_committed('pre_paper_checks') }}
)

select
    run_id,
    promotion_sha256,
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    decision,
    status,
    reason,
    timeframe_minutes,
    required_bars,
    present_bars,
    is_replay,
    close_at,
    said_at
from source
