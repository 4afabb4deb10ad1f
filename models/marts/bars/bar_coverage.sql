with requests as (
    select * from {{ ref('stg_bars__requests') }}
),

sessions as (
    select * from {{ ref('int_sessions') }}
),

bar_rows as (
    select * from {{ ref('int_bar_rows_judged') }}
),

asked as (
    select
        requests.symbol,
        requests.feed,
        sessions.session_date,
        sessions.expected_count as session_count,
        sessions.is_early,
        -- a file says nothing about what lies before its first row or after its last
        min(greatest(sessions.open_at, requests.reach_from)) as from_at,
        max(least(sessions.close_at, requests.reach_until)) as until_at
    from requests
    inner join sessions on sessions.session_date between requests.from_date and requests.to_date
    group by all
    having from_at < until_at
),

counted as (
    select
        symbol,
        feed,
        market_date,
        count(*) filter (where row_status = 'kept') as present_count,
        count(*) filter (where row_status in ('off_session', 'no_session')) as off_session_count,
        count(*) filter (where row_status = 'off_grid') as off_grid_count,
        count(*) filter (where row_status = 'duplicate') as duplicate_count,
        count(*) filter (where row_status = 'conflict') as conflict_count,
        count(*) filter (where row_status = 'no_trade') as no_trade_count,
        count(*) filter (where row_status in ('no_price', 'broken')) as unusable_count
    from bar_rows
    group by symbol, feed, market_date
),

compared as (
    select
        coalesce(asked.symbol, counted.symbol) as symbol,
        coalesce(asked.feed, counted.feed) as feed,
        coalesce(asked.session_date, counted.market_date) as session_date,
        coalesce(asked.session_count, 0) as session_count,
        coalesce({{ seconds_between('asked.from_at', 'asked.until_at') }} // 300, 0) as expected_count,
        coalesce(counted.present_count, 0) as present_count,
        coalesce(counted.off_session_count, 0) as off_session_count,
        coalesce(counted.off_grid_count, 0) as off_grid_count,
        coalesce(counted.duplicate_count, 0) as duplicate_count,
        coalesce(counted.conflict_count, 0) as conflict_count,
        coalesce(counted.no_trade_count, 0) as no_trade_count,
        coalesce(counted.unusable_count, 0) as unusable_count,
        coalesce(asked.is_early, false) as is_early,
        asked.from_at,
        asked.until_at
    from asked
    full join counted
        on
            asked.symbol = counted.symbol
            and asked.feed = counted.feed
            and asked.session_date = counted.market_date
),

expected as (
    select
        symbol,
        feed,
        session_date,
        unnest(generate_series(from_at, until_at - interval 5 minutes, interval 5 minutes)) as bar_at
    from compared
    where present_count + no_trade_count < expected_count
),

-- a bar, or the word that nobody traded
answered as (
    select
        symbol,
        feed,
        bar_at
    from bar_rows
    where row_status in ('kept', 'no_trade')
),

missing as (
    select
        expected.symbol,
        expected.feed,
        expected.session_date,
        min(expected.bar_at) as first_missing_at,
        max(expected.bar_at) as last_missing_at
    from expected
    anti join answered
        on
            expected.symbol = answered.symbol
            and expected.feed = answered.feed
            and expected.bar_at = answered.bar_at
    group by all
)

select
    compared.symbol,
    compared.feed,
    case
        when compared.expected_count = 0 then 'no_session'
        when compared.present_count + compared.no_trade_count = compared.session_count then 'complete'
        when compared.present_count + compared.no_trade_count = compared.expected_count then 'cut'
        when compared.present_count = 0 then 'no_data'
        else 'gap'
    end as coverage_status,
    compared.expected_count,
    compared.present_count,
    compared.expected_count - compared.present_count - compared.no_trade_count as missing_count,
    compared.off_session_count,
    compared.off_grid_count,
    compared.duplicate_count,
    compared.conflict_count,
    compared.no_trade_count,
    compared.unusable_count,
    compared.is_early,
    compared.session_date,
    missing.first_missing_at,
    missing.last_missing_at
from compared
left join missing
    on
        compared.symbol = missing.symbol
        and compared.feed = missing.feed
        and compared.session_date = missing.session_date
order by compared.symbol, compared.feed, compared.session_date
