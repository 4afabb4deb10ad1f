with reserves as (
    select * from {{ ref('stg_lending__reserves') }}
),

liquidations as (
    select * from {{ ref('stg_lending__liquidations') }}
),

attempts as (
    select * from {{ ref('int_csu_attempts') }}
),

snapshots as (
    select * from {{ ref('stg_lending__snapshots') }}
),

days as (
    select
        *,
        lag(day) over (partition by chain order by day) as previous_day,
        lag(window_end_at) over (partition by chain order by day) as previous_end_at,
        lag(last_block) over (partition by chain order by day) as previous_last_block
    from {{ ref('stg_lending__days') }}
),

-- a contract may answer anything; what is below zero is no amount
negative as (
    select
        csu_id,
        day,
        count(*) filter (
            where supplied_raw < 0 or borrowed_variable_raw < 0 or borrowed_stable_raw < 0 or available_raw < 0
        ) as negative_count,
        min(reserve_id) filter (
            where supplied_raw < 0 or borrowed_variable_raw < 0 or borrowed_stable_raw < 0 or available_raw < 0
        ) as first_negative
    from reserves
    group by csu_id, day
),

flows as (
    select
        liquidations.csu_id,
        liquidations.day,
        count(*) filter (
            where liquidations.debt_raw < 0 or liquidations.collateral_raw < 0 or liquidations.bad_debt_raw < 0
        ) as negative_count,
        count(*) filter (
            where
            attempts.csu_id is null
            or liquidations.block_number not between attempts.from_block and attempts.to_block
        ) as outside_count,
        count(*) filter (
            where liquidations.block_at < days.window_start_at or liquidations.block_at >= days.window_end_at
        ) as mistimed_count
    from liquidations
    left join days on liquidations.chain_id = days.chain_id and liquidations.day = days.day
    left join attempts
        on
            liquidations.csu_id = attempts.csu_id
            and liquidations.day = attempts.day
            and attempts.table_group = 'liquidations'
    group by liquidations.csu_id, liquidations.day
),

disagreements as (
    select
        csu_id,
        day,
        count(*) filter (where flow_verdict in ('disagree', 'undecoded')) as problem_count,
        count(*) as checked_count,
        min(coalesce(asset_symbol, reserve_id) || ' by ' || difference_raw) filter (
            where flow_verdict in ('disagree', 'undecoded')
        ) as first_disagreement
    from {{ ref('int_csu_flow_verdicts') }}
    group by csu_id, day
),

-- days of a chain meet exactly, in time and in blocks: a gap loses liquidations, an overlap counts them twice
tiles as (
    select
        snapshots.csu_id,
        snapshots.day,
        (
            days.day = days.previous_day + interval 1 day
            and (days.window_start_at <> days.previous_end_at or days.first_block <> days.previous_last_block + 1)
        )::int as problem_count,
        'the day of ' || snapshots.chain || ' begins at block ' || days.first_block || ', the day before ended at '
        || days.previous_last_block as evidence
    from snapshots
    inner join days on snapshots.chain_id = days.chain_id and snapshots.day = days.day
),

judged as (
    select
        csu_id,
        day,
        'amounts_are_not_negative' as gate,
        negative_count as problem_count,
        negative_count || ' reserves answered an amount below zero, first: ' || first_negative as evidence
    from negative
    union all
    select
        csu_id,
        day,
        'flows_are_not_negative',
        negative_count,
        negative_count || ' liquidations state an amount below zero'
    from flows
    union all
    select
        csu_id,
        day,
        'liquidations_in_their_day',
        outside_count,
        outside_count || ' liquidations lie outside the blocks that were scanned for the day'
    from flows
    union all
    select
        csu_id,
        day,
        'liquidation_times_follow_blocks',
        mistimed_count,
        mistimed_count || ' liquidations are stamped outside the hours of their day'
    from flows
    union all
    select
        csu_id,
        day,
        'days_meet',
        coalesce(problem_count, 0),
        evidence
    from tiles
),

-- the numbers of such a day are shown, as incomplete: the verdict says which of them no event explains
told as (
    select
        csu_id,
        day,
        'events_explain_state' as gate,
        problem_count,
        if(
            problem_count = 0,
            checked_count || ' reserves changed by what their events say',
            problem_count || ' of ' || checked_count || ' reserves changed otherwise than their events say, first: '
            || first_disagreement
        ) as evidence,
        'warn' as severity
    from disagreements
    union all
    select
        *,
        'fail' as severity
    from judged
),

gates as (
    select
        csu_id as subject,
        day::varchar as period,
        '' as part,
        gate,
        'panel' as scope,
        severity,
        problem_count,
        problem_count as measured,
        0 as allowed,
        evidence,
        'foreshore extract lending --csu ' || csu_id || ' --since ' || day || ' --until ' || day
        || ' --no-resume' as cure
    from told
    union all
    {{ gates_of_failing_partitions(
        sources="'lending'",
        scope='panel',
        subject="partition_key",
        period="partition_window",
        part="''",
        cure="'foreshore extract lending ' || if(table_group = 'days', '', '--csu ' || partition_key || ' ') || '--since ' || partition_window || ' --until ' || partition_window"
    ) }}
)

{{ gate_columns('lending', 'gates') }}
