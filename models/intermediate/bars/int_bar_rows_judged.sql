with bar_rows as (
    select * from {{ ref('stg_bars__rows') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
),

judged as (
    select
        bar_rows.*,
        case
            when sessions.session_date is null then 'no_session'
            when bar_rows.bar_at < sessions.open_at or bar_rows.bar_at >= sessions.close_at then 'off_session'
            when {{ seconds_between('sessions.open_at', 'bar_rows.bar_at') }} % 300 <> 0 then 'off_grid'
            when
                bar_rows.open is null or bar_rows.high is null or bar_rows.low is null or bar_rows.close is null
                then 'no_price'
            when
                bar_rows.low <= 0
                or bar_rows.volume < 0
                or bar_rows.high < greatest(bar_rows.open, bar_rows.close)
                or bar_rows.low > least(bar_rows.open, bar_rows.close)
                then 'broken'
            else 'kept'
        end as verdict
    from bar_rows
    left join sessions on bar_rows.market_date = sessions.session_date
    where bar_rows.timeframe = 'M5'
)

select
    provider,
    feed,
    symbol,
    row_position,
    raw_time,
    case
        when
            verdict = 'kept'
            -- of a bar that was sent twice, or by two providers of one feed, the newest row stands
            and row_number() over (
                partition by symbol, feed, bar_at, verdict
                order by fetched_at desc, provider asc, row_position desc
            ) > 1
            then 'duplicate'
        else verdict
    end as row_status,
    open,
    high,
    low,
    close,
    volume,
    trade_count,
    vwap,
    market_date,
    bar_at,
    fetched_at
from judged
