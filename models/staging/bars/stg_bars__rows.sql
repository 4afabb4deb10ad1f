with source as (
    {{ newest_committed('bars') }}
)

select
    provider,
    feed,
    symbol,
    timeframe,
    position as row_position,
    raw_time,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    cast(timezone('America/New_York', bar_at) as date) as market_date,
    bar_at,
    fetched_at
from source
