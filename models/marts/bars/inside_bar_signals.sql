with signals as (
    select * from {{ ref('int_bar_signals') }}
)

select
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    side,
    entry_order,
    reason as order_reason,
    outcome,
    exit_reason,
    timeframe_minutes,
    quantity,
    entry_price,
    stop_price,
    take_profit_price,
    mother_high,
    mother_low,
    inside_high,
    inside_low,
    atr,
    fill_price,
    exit_price,
    gross_usd,
    cost_usd,
    net_usd,
    r_multiple,
    equity_usd,
    equity_low_usd,
    equity_high_usd,
    mother_at,
    inside_at,
    trigger_at,
    signal_at,
    valid_from,
    valid_to,
    exit_by,
    fill_at,
    exit_at
from signals
where is_seeded
order by strategy_key, impl_version, symbol, feed, trigger_at, side
