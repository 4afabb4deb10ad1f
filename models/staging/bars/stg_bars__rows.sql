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
    round(open, 6) as open,
    round(high, 6) as high,
    round(low, 6) as low,
    round(close, 6) as close,
    volume,
    trade_count,
    vwap,
    cast(timezone('America/New_York', bar_at) as date) as market_date,
    bar_at,
    fetched_at
from source
