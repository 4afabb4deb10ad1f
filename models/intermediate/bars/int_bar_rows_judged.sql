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
                not isfinite(bar_rows.open + bar_rows.high + bar_rows.low + bar_rows.close)
                or not isfinite(coalesce(bar_rows.volume, 0))
                or bar_rows.low <= 0
                or bar_rows.volume < 0
                or bar_rows.high < greatest(bar_rows.open, bar_rows.close)
                or bar_rows.low > least(bar_rows.open, bar_rows.close)
                then 'broken'
            -- a provider fills a slot in which nobody traded with the last price
            when bar_rows.volume = 0 and bar_rows.low = bar_rows.high then 'no_trade'
            else 'kept'
        end as verdict
    from bar_rows
    left join sessions on bar_rows.market_date = sessions.session_date
    where bar_rows.timeframe = 'M5'
),

-- of a bar that was sent twice, or by two providers of one feed, the newest row stands
ranked as (
    select
        *,
        row_number() over same_bar as rank_of_bar,
        first_value(hash(open, high, low, close, volume)) over same_bar as standing,
        hash(open, high, low, close, volume) as said,
        count(*) filter (where verdict = 'kept') over (partition by symbol, feed, bar_at) as kept_count
    from judged
    window same_bar as (
        partition by symbol, feed, bar_at, verdict
        order by fetched_at desc, provider asc, row_position desc
    )
)

select
    provider,
    feed,
    symbol,
    row_position,
    raw_time,
    case
        when verdict = 'kept' and rank_of_bar > 1 and said <> standing then 'conflict'
        when verdict = 'kept' and rank_of_bar > 1 then 'duplicate'
        when verdict = 'no_trade' and kept_count > 0 then 'conflict'
        when verdict = 'no_trade' and rank_of_bar > 1 then 'duplicate'
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
from ranked
