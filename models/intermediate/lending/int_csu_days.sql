-- Every CSU that was ever asked for, on every day from the first to the last one asked for: what a panel must hold.
with attempts as (
    select * from {{ ref('int_csu_attempts') }}
),

snapshots as (
    select * from {{ ref('stg_lending__snapshots') }}
),

registry as (
    select * from {{ ref('csu_registry') }}
),

known as (
    select
        attempts.csu_id,
        coalesce(any_value(snapshots.family), any_value(registry.family)) as family,
        coalesce(any_value(snapshots.chain), any_value(registry.chain)) as chain,
        coalesce(any_value(snapshots.chain_id), any_value(registry.chain_id)) as chain_id
    from attempts
    left join snapshots on attempts.csu_id = snapshots.csu_id
    left join registry on attempts.csu_id = registry.csu_id
    group by attempts.csu_id
),

days as (
    select unnest(generate_series(min(day), max(day), interval 1 day))::date as day
    from attempts
)

select
    known.csu_id,
    known.family,
    known.chain,
    known.chain_id,
    days.day
from known
cross join days
