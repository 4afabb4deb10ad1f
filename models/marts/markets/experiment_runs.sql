with results as (
    select * from {{ ref('int_experiment_results') }}
),

failures as (
    select
        run_id,
        experiment,
        count(distinct market_id) as failure_count
    from {{ ref('processing_failures') }}
    where experiment is not null and is_open
    group by run_id, experiment
),

runs as (
    select * from {{ ref('stg_ledger__runs') }}
),

counted as (
    select
        run_id,
        experiment,
        experiment_version,
        count(*) as result_count,
        count(*) filter (where result_kind = 'forecast') as forecast_count,
        count(*) filter (where result_kind = 'stake') as stake_count,
        count(*) filter (where result_kind = 'skip') as skip_count,
        avg(probability order by probability) as mean_probability,
        max(known_until_at) as known_until_at
    from results
    group by run_id, experiment, experiment_version
)

select
    counted.run_id,
    counted.experiment,
    counted.experiment_version,
    counted.result_count,
    counted.forecast_count,
    counted.stake_count,
    counted.skip_count,
    coalesce(failures.failure_count, 0) as failure_count,
    counted.forecast_count / counted.result_count as coverage_share,
    counted.mean_probability,
    runs.run_date,
    counted.known_until_at
from counted
inner join runs on counted.run_id = runs.run_id
left join failures on counted.run_id = failures.run_id and counted.experiment = failures.experiment
