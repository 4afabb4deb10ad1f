with source as (
    {{ newest_committed('pre_paper_signals') }}
)

select
    run_id,
    promotion_sha256,
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    side,
    reason as order_reason,
    timeframe_minutes,
    entry_price,
    stop_price,
    take_profit_price,
    mother_high,
    mother_low,
    is_replay,
    mother_at,
    inside_at,
    trigger_at,
    signal_at,
    valid_from,
    valid_to,
    said_at
from source
