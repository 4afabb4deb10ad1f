with results as (
    select * from {{ ref('int_experiment_results') }}
),

runs as (
    select
        run_date,
        unnest(from_json(experiments, '["JSON"]')) as made
    from {{ ref('stg_ledger__runs') }}
    where experiments is not null
),

registered as (
    select
        made ->> '$.name' as experiment,
        made ->> '$.version' as experiment_version,
        max_by(array_to_string(from_json(made -> '$.requires', '["VARCHAR"]'), ','), run_date) as requires,
        max_by((made ->> '$.mandatory')::boolean, run_date) as is_mandatory,
        count(*) as run_count
    from runs
    group by experiment, experiment_version
),

answered as (
    select
        experiment,
        experiment_version,
        count(*) as result_count,
        min(snapshot_at) as first_snapshot_at,
        max(snapshot_at) as last_snapshot_at
    from results
    group by experiment, experiment_version
)

-- a version that only a backfill ran was registered by no run
select
    coalesce(registered.experiment, answered.experiment) as experiment,
    coalesce(registered.experiment_version, answered.experiment_version) as experiment_version,
    registered.requires,
    registered.is_mandatory,
    coalesce(registered.run_count, 0) as run_count,
    coalesce(answered.result_count, 0) as result_count,
    answered.first_snapshot_at,
    answered.last_snapshot_at
from registered
full outer join answered
    on registered.experiment = answered.experiment and registered.experiment_version = answered.experiment_version
