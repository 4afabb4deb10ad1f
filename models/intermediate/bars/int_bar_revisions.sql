with loads as (
    select * from {{ ref('stg_bars__loads') }}
),

live as (
    select * from {{ ref('stg_pre_paper__revisions') }}
),

-- one value per load: of a bar that came twice in one the last row
said as (
    select *
    from loads
    where timeframe = 'M5'
    qualify row_number() over (
        partition by provider, feed, symbol, bar_at, fetched_at
        order by row_position desc
    ) = 1
),

followed as (
    select
        *,
        lag(open) over earlier as old_open,
        lag(high) over earlier as old_high,
        lag(low) over earlier as old_low,
        lag(close) over earlier as old_close
    from said
    window earlier as (partition by provider, feed, symbol, bar_at order by fetched_at)
),

revisions as (
    select
        symbol,
        feed,
        provider as revised_by,
        'replaced' as revision_outcome,
        'load' as old_source,
        'load' as new_source,
        old_open,
        old_high,
        old_low,
        old_close,
        open as new_open,
        high as new_high,
        low as new_low,
        close as new_close,
        bar_at,
        fetched_at as revised_at
    from followed
    where old_open is not null and (old_open, old_high, old_low, old_close) <> (open, high, low, close)
    union all
    select
        symbol,
        feed,
        run_id as revised_by,
        revision_outcome,
        old_source,
        new_source,
        old_open,
        old_high,
        old_low,
        old_close,
        new_open,
        new_high,
        new_low,
        new_close,
        bar_at,
        revised_at
    from live
)

select
    symbol,
    feed,
    revised_by,
    revision_outcome,
    old_source,
    new_source,
    old_open,
    old_high,
    old_low,
    old_close,
    new_open,
    new_high,
    new_low,
    new_close,
    row_number() over (
        partition by symbol, feed, bar_at
        order by revised_at, revised_by, new_source, new_close
    ) as revision_number,
    bar_at,
    revised_at
from revisions
