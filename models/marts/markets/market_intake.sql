with markets as (
    select * from {{ ref('stg_polymarket__markets') }}
),

refusals as (
    select * from {{ ref('stg_polymarket__refusals') }}
),

records as (
    select
        run_date,
        window_days,
        'taken' as intake_kind,
        'wanted' as reason,
        observed_at
    from markets
    union all
    select
        run_date,
        window_days,
        refusal_kind as intake_kind,
        reason,
        observed_at
    from refusals
)

select
    run_date,
    window_days,
    intake_kind,
    reason,
    count(*) as record_count,
    run_date + window_days as target_date,
    min(observed_at) as first_observed_at,
    max(observed_at) as last_observed_at
from records
group by run_date, window_days, intake_kind, reason
