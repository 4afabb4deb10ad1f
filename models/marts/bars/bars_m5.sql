with bar_rows as (
    select * from {{ ref('int_bar_rows_judged') }}
)

select
    symbol,
    feed,
    provider,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    market_date as session_date,
    bar_at,
    fetched_at
from bar_rows
where row_status = 'kept'
order by symbol, feed, bar_at
