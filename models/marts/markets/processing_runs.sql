with runs as (
    select * from {{ ref('stg_ledger__runs') }}
),

markets as (
    select
        run_id,
        count(*) as processed_count
    from {{ ref('stg_ledger__markets') }}
    group by run_id
),

failures as (
    select
        run_id,
        count(distinct market_id) filter (where is_open) as failing_count
    from {{ ref('processing_failures') }}
    group by run_id
)

select
    runs.run_id,
    runs.status,
    runs.code_version,
    runs.config_sha256,
    runs.error_message,
    runs.window_days,
    runs.attempt,
    runs.listed_count,
    runs.refused_count,
    coalesce(markets.processed_count, 0) as processed_count,
    coalesce(failures.failing_count, 0) as failing_count,
    runs.run_date,
    runs.target_date,
    runs.snapshot_at,
    runs.claimed_at,
    runs.started_at,
    runs.finished_at
from runs
left join markets on runs.run_id = markets.run_id
left join failures on runs.run_id = failures.run_id
