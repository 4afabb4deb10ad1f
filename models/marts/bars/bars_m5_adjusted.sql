with bars as (
    select * from {{ ref('bars_m5') }}
),

actions as (
    select * from {{ ref('bars_corporate_actions') }}
),

-- as of a moment: of a split only those bars know that stand in the terms of a moment after its ex-date
splits as (
    select
        symbol,
        feed,
        ex_at,
        split_price_factor
    from actions
    where
        action_kind = 'split'
        and ex_at <= cast('{{ var("bars_as_of", "9999-12-31") }}' as timestamptz)
),

days as (
    select distinct
        symbol,
        feed,
        session_date
    from bars
),

factors as (
    select
        days.symbol,
        days.feed,
        days.session_date,
        product(splits.split_price_factor order by splits.ex_at, splits.split_price_factor) as factor
    from days
    inner join splits
        on
            days.symbol = splits.symbol
            and days.feed = splits.feed
            and days.session_date < cast(timezone('America/New_York', splits.ex_at) as date)
    group by all
)

select
    bars.symbol,
    bars.feed,
    round(bars.open * coalesce(factors.factor, 1), 6) as open,
    round(bars.high * coalesce(factors.factor, 1), 6) as high,
    round(bars.low * coalesce(factors.factor, 1), 6) as low,
    round(bars.close * coalesce(factors.factor, 1), 6) as close,
    bars.volume / coalesce(factors.factor, 1) as volume,
    coalesce(factors.factor, 1) as price_factor,
    bars.session_date,
    bars.bar_at
from bars
left join factors
    on
        bars.symbol = factors.symbol
        and bars.feed = factors.feed
        and bars.session_date = factors.session_date
where bars.bar_at < cast('{{ var("bars_as_of", "9999-12-31") }}' as timestamptz)
