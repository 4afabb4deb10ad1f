-- Why a CSU's day is complete or not; the first reason that holds, in the order in which a reader would ask.
with csu_days as (
    select * from {{ ref('int_csu_days') }}
),

attempts as (
    select * from {{ ref('int_csu_attempts') }}
),

snapshots as (
    select * from {{ ref('stg_lending__snapshots') }}
),

gates as (
    select * from {{ ref('int_lending_gates') }}
    where verdict = 'fail' and not starts_with(gate, 'extracted_')
),

failed as (
    select
        subject as csu_id,
        period,
        string_agg(gate || ': ' || evidence, '; ' order by gate) as failed_gates
    from gates
    group by subject, period
),

kinds as (
    select
        csu_id,
        day,
        count(*) filter (where is_extracted) as extracted_count,
        min(failure_reason) filter (where not is_extracted) as failure_reason,
        min(table_group) filter (where not is_extracted) as failed_kind,
        max(from_block) filter (where table_group = 'liquidations') as scanned_from_block,
        max(to_block) filter (where table_group = 'liquidations') as scanned_to_block
    from attempts
    group by csu_id, day
)

select
    csu_days.csu_id,
    csu_days.family,
    csu_days.chain,
    csu_days.chain_id,
    case
        when kinds.csu_id is null then 'not_extracted'
        when kinds.extracted_count < 3 then 'failed'
        when failed.failed_gates is not null then 'gate_failed'
        when snapshots.snapshot_status = 'ok' then 'extracted'
        else snapshots.snapshot_status
    end as extraction_status,
    case
        when kinds.csu_id is null then 'never asked for'
        when kinds.extracted_count < 3
            then kinds.failed_kind || ': ' || coalesce(kinds.failure_reason, 'not extracted yet')
        when failed.failed_gates is not null then failed.failed_gates
        else snapshots.snapshot_reason
    end as reason,
    snapshots.confirmation as confirmed_by,
    kinds.scanned_from_block,
    kinds.scanned_to_block,
    snapshots.observed_block,
    csu_days.day,
    snapshots.observed_at
from csu_days
left join kinds on csu_days.csu_id = kinds.csu_id and csu_days.day = kinds.day
left join snapshots on csu_days.csu_id = snapshots.csu_id and csu_days.day = snapshots.day
left join failed on csu_days.csu_id = failed.csu_id and csu_days.day::varchar = failed.period
