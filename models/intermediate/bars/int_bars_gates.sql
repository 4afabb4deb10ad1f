with coverage as (
    select * from {{ ref('bar_coverage') }}
),

runs as (
    select * from {{ ref('inside_bar_backtest') }}
),

parity as (
    select * from {{ ref('pre_paper_parity') }}
),

bars as (
    select * from {{ ref('bars_m5') }}
),

actions as (
    select * from {{ ref('bars_corporate_actions') }}
),

constants as (
    select
        max(value) filter (where threshold = 'split_jump_least_ratio') as least_ratio,
        max(value) filter (where threshold = 'split_jump_tolerance') as tolerance
    from {{ ref('thresholds') }}
),

days as (
    select
        symbol,
        feed,
        session_date,
        min_by(open, bar_at) as first_open,
        max_by(close, bar_at) as last_close
    from bars
    group by all
),

ratios as (
    select
        symbol,
        feed,
        session_date,
        lag(session_date) over by_date as session_before,
        first_open / lag(last_close) over by_date as ratio
    from days
    window by_date as (partition by symbol, feed order by session_date)
),

nights as (
    select
        *,
        greatest(ratio, 1 / ratio) as size
    from ratios
),

-- near n, n/2, n/3 or n/4 for a small n, as decide.bars.actions has it
jumps as (
    select
        nights.symbol,
        nights.feed,
        nights.session_date
    from nights
    cross join constants
    anti join actions
        on
            nights.symbol = actions.symbol
            and nights.feed = actions.feed
            and actions.action_kind = 'split'
            and nights.session_before < actions.ex_date
            and nights.session_date >= actions.ex_date
    where
        nights.size >= constants.least_ratio
        and least(
            abs(nights.size / round(nights.size) - 1),
            abs(nights.size * 2 / round(nights.size * 2) - 1),
            abs(nights.size * 3 / round(nights.size * 3) - 1),
            abs(nights.size * 4 / round(nights.size * 4) - 1)
        ) <= constants.tolerance
),

untold as (
    select
        days.symbol,
        days.feed,
        count(distinct jumps.session_date) as jump_count,
        min(jumps.session_date) as first_jump
    from days
    left join jumps
        on
            days.symbol = jumps.symbol
            and days.feed = jumps.feed
    group by all
),

series as (
    select
        symbol,
        feed,
        count(*) filter (where coverage_status in ('gap', 'no_data')) as gap_count,
        min(session_date) filter (where coverage_status in ('gap', 'no_data')) as first_gap,
        max(session_date) filter (where coverage_status in ('gap', 'no_data')) as last_gap,
        sum(unusable_count) as unusable_count,
        min(session_date) filter (where unusable_count > 0) as first_unusable,
        sum(conflict_count) as conflict_count,
        min(session_date) filter (where conflict_count > 0) as first_conflict
    from coverage
    group by symbol, feed
),

-- live and backtest of the same rules on the same series; a provider may revise bars days later, hence a warning
compared as (
    select
        symbol,
        feed,
        run_id,
        count(*) filter (where parity in ('differs', 'live_only', 'backtest_only')) as differing_count,
        min(close_at) filter (where parity in ('differs', 'live_only', 'backtest_only')) as first_differing_at
    from parity
    group by symbol, feed, run_id
),

gates as (
    select
        symbol || '/' || feed as subject,
        '' as period,
        '' as part,
        'sessions_are_whole' as gate,
        'nothing' as scope,
        'warn' as severity,
        gap_count as problem_count,
        gap_count as measured,
        0 as allowed,
        gap_count || ' sessions have holes, from ' || first_gap || ' to ' || last_gap as evidence,
        'foreshore extract bars --symbol ' || symbol || ' --from ' || first_gap || ' --to ' || last_gap as cure
    from series
    union all
    select
        symbol || '/' || feed,
        '',
        '',
        'bars_are_usable',
        'nothing',
        'warn',
        unusable_count as problem_count,
        unusable_count as measured,
        0,
        unusable_count || ' rows without a price or with one outside its own range were left out, first on '
        || first_unusable,
        'foreshore extract bars --symbol ' || symbol || ' --from ' || first_unusable || ' --to ' || first_unusable
        || ' --no-resume'
    from series
    union all
    select
        symbol || '/' || feed,
        '',
        '',
        'bars_agree',
        'nothing',
        'warn',
        conflict_count as problem_count,
        conflict_count as measured,
        0,
        conflict_count || ' bars came again with other values, first on ' || first_conflict || '; the newest stands',
        'foreshore sql "select * from int_bar_rows_judged where row_status = ''conflict''"'
    from series
    union all
    select
        symbol || '/' || feed,
        '',
        '',
        'splits_are_told',
        'nothing',
        'warn',
        jump_count as problem_count,
        jump_count as measured,
        0,
        jump_count || ' nights look like a split that nobody told of, first before ' || first_jump,
        'tell of the split, or that there was none (1 old, 1 new share), in corporate_actions.csv: docs/bars/guide.md'
    from untold
    union all
    select
        symbol || '/' || feed,
        strategy_key || '-' || impl_version,
        '',
        'run_succeeded',
        'backtest',
        'fail',
        (run_status <> 'SUCCESS')::int,
        coverage_share,
        null,
        coalesce(failure_reason, '') || coalesce(': ' || failure_details, ''),
        'foreshore extract bars --symbol ' || symbol
    from runs
    union all
    select
        symbol || '/' || feed,
        run_id,
        '',
        'live_equals_backtest',
        'nothing',
        'warn',
        differing_count as problem_count,
        differing_count as measured,
        0,
        differing_count || ' closes say something else live than in the backtest, first at ' || first_differing_at,
        'select * from pre_paper_parity where run_id = ''' || run_id || ''''
    from compared
    union all
    {{ gates_of_failing_partitions(
        sources="'bars', 'pre_paper'",
        scope='backtest',
        subject="partition_key",
        period="partition_window",
        part="''",
        cure="'foreshore extract bars --symbol ' || split_part(partition_key, '/', 2) || ' --provider ' || split_part(partition_key, '/', 1)"
    ) }}
)

{{ gate_columns('bars', 'gates') }}
