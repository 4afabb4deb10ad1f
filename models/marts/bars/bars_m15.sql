with bars as (
    select * from {{ ref('bars_m5') }}
)

select
    symbol,
    feed,
    min_by(open, bar_at) as open,
    max(high) as high,
    min(low) as low,
    max_by(close, bar_at) as close,
    case when count(volume) = 3 then sum(volume order by bar_at) end as volume,
    session_date,
    -- sessions open on a multiple of 15 minutes, in winter and in summer
    time_bucket(interval 15 minutes, bar_at) as bar_at
from bars
group by symbol, feed, session_date, time_bucket(interval 15 minutes, bar_at)
having count(*) = 3
order by symbol, feed, bar_at
