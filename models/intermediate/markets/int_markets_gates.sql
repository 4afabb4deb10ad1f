with runs as (
    select * from {{ ref('stg_ledger__runs') }}
),

outcomes as (
    select * from {{ ref('stg_ledger__outcomes') }}
),

resolutions as (
    select * from {{ ref('market_resolutions') }}
),

ledger as (
    select * from {{ ref('stg_extract__ledger') }}
),

newest as (
    select
        count(*) as landed_count,
        date_diff('second', max(finished_at), now()) as age_seconds
    from ledger
    where source = 'markets' and table_group = 'markets' and status = 'complete'
),

gates as (
    select
        run_id as subject,
        '' as period,
        '' as part,
        'run_is_complete' as gate,
        'score' as scope,
        case status when 'failed' then 'fail' else 'warn' end as severity,
        (status in ('failed', 'partial'))::int as problem_count,
        attempt as measured,
        null as allowed,
        'the run ended ' || status || coalesce(': ' || error_message, '') as evidence,
        'foreshore markets daily --run-date ' || run_date || ' --window-days ' || window_days as cure
    from runs
    union all
    -- what experiments learned from (the ledger) and what they are scored by (the lake) are the same ends
    select
        'market ' || outcomes.market_id,
        '',
        '',
        'ends_agree',
        'score',
        'fail',
        (outcomes.label is distinct from resolutions.label)::int,
        outcomes.label as measured,
        resolutions.label as allowed,
        'the run ledger says ' || coalesce(outcomes.label::varchar, 'nothing') || ', the lake '
        || coalesce(resolutions.label::varchar, 'nothing'),
        'foreshore markets resolve'
    from outcomes
    inner join resolutions on outcomes.market_id = resolutions.market_id
    where
        outcomes.resolution_status = 'resolved'
        and resolutions.resolution_status in ('resolved', 'void')
        -- each keeps its own newest answer; where one is older, the result may have turned since
        and outcomes.checked_at = resolutions.last_asked_at
    union all
    select
        'market ' || market_id,
        '',
        '',
        'ended_before_it_was_known',
        'score',
        'fail',
        (resolved_at > known_at)::int,
        null,
        null,
        'it says it was resolved at ' || resolved_at || ', after it was read at ' || known_at,
        'foreshore markets resolve'
    from resolutions
    where resolution_status = 'resolved' and resolved_at is not null and known_at is not null
    union all
    -- runs are daily; a schedule that silently stopped leaves no failure behind, only an old newest day
    select
        'schedule',
        '',
        '',
        'ran_in_time',
        'nothing',
        'warn',
        (age_seconds > {{ threshold('market_run_overdue_seconds') }})::int,
        if(age_seconds > {{ threshold('market_run_overdue_seconds') }}, age_seconds, null),
        {{ threshold('market_run_overdue_seconds') }},
        'the newest day of markets landed ' || round(age_seconds / 3600) || ' hours ago',
        'foreshore markets daily'
    from newest
    where landed_count > 0
    union all
    {{ gates_of_failing_partitions(
        sources="'markets'",
        scope='score',
        subject="partition_key",
        period="partition_window",
        part="''",
        cure="'foreshore markets daily'"
    ) }}
)

{{ gate_columns('markets', 'gates') }}
