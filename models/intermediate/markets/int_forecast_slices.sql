with scored as (
    select * from {{ ref('int_forecasts_scored') }}
),

sliced as (
    select
        *,
        'all' as horizon_kind,
        'all' as horizon
    from scored
    where not is_foreknown
    union all
    -- forecasts that may have known the end are scored apart, and nowhere else
    select
        *,
        'foreknown' as horizon_kind,
        'all' as horizon
    from scored
    where is_foreknown
    union all
    select
        *,
        'to_resolution' as horizon_kind,
        actual_horizon as horizon
    from scored
    where not is_foreknown
    union all
    select
        *,
        'to_end' as horizon_kind,
        scheduled_horizon as horizon
    from scored
    where scheduled_horizon is not null and not is_foreknown
)

select
    *,
    concat_ws(' ', experiment, experiment_version, horizon_kind, horizon) as slice_key
from sliced
