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
)

select
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    signal.side,
    signal.reason as order_reason,
    signal.outcome,
    signal.exit_reason,
    timeframe_minutes,
    signal.quantity,
    signal.entry_price,
    signal.stop_price,
    signal.take_profit_price,
    signal.mother_high,
    signal.mother_low,
    signal.inside_high,
    signal.inside_low,
    signal.atr,
    signal.fill_price,
    signal.exit_price,
    signal.gross_usd,
    signal.cost_usd,
    signal.net_usd,
    signal.r_multiple,
    signal.equity_usd,
    signal.mother_at,
    signal.inside_at,
    signal.trigger_at,
    signal.signal_at,
    signal.valid_from,
    signal.valid_to,
    signal.fill_at,
    signal.exit_at
from signals
order by strategy_key, impl_version, symbol, feed, trigger_at
