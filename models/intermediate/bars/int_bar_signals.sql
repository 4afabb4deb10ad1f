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
        is_seeded,
        timeframe_minutes,
        tick_size_usd,
        tick_size_below_dollar_usd,
        unnest(signals) as signal
    from runs
)

select
    * exclude (signal),
    signal.*
from signals
