with runs as (
    select * from {{ ref('inside_bar_runs') }}
)

select
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    run_status,
    failure_reason,
    failure_details,
    interval_reason,
    timeframe_minutes,
    missing_bars,
    signal_count,
    sessions,
    trades,
    wins,
    coverage_share,
    win_share,
    gross_usd,
    cost_usd,
    net_usd,
    profit_factor,
    return_share,
    max_drawdown_share,
    sharpe,
    mean_r,
    mean_r_low,
    mean_r_high,
    from_at,
    to_at
from runs
where is_seeded
