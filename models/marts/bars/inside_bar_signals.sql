with runs as (
    select * from {{ ref('inside_bar_runs') }}
),

signals as (
    select
        strategy_key,
        impl_version,
        rules_hash,
        symbol,
        feed,
        timeframe_minutes,
        unnest(signals) as signal
    from runs
),

flat as (
    select
        * exclude (signal),
        signal.*
    from signals
)

select
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    side,
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
    mother_at,
    inside_at,
    trigger_at,
    signal_at,
    valid_from,
    valid_to,
    fill_at,
    exit_at
from flat
order by strategy_key, impl_version, symbol, feed, trigger_at
