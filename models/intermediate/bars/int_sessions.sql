with planned as (
    select * from {{ ref('sessions') }}
),

overrides as (
    select * from {{ ref('session_overrides') }}
),

held as (
    select
        date,
        open_utc,
        close_utc,
        early
    from planned
    where date not in (select overrides.date from overrides)
    union all
    select
        date,
        open_utc,
        close_utc,
        early
    from overrides
    where open_utc is not null
)

select
    date as session_date,
    {{ seconds_between('open_utc', 'close_utc') }} // 300 as expected_count,
    early as is_early,
    open_utc as open_at,
    close_utc as close_at
from held
