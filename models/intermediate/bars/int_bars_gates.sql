with coverage as (
    select * from {{ ref('bar_coverage') }}
),

runs as (
    select * from {{ ref('inside_bar_backtest') }}
),

parity as (
    select * from {{ ref('pre_paper_parity') }}
),

series as (
    select
        symbol,
        feed,
        count(*) filter (where coverage_status in ('gap', 'no_data')) as gap_count,
        min(session_date) filter (where coverage_status in ('gap', 'no_data')) as first_gap,
        max(session_date) filter (where coverage_status in ('gap', 'no_data')) as last_gap,
        sum(unusable_count) as unusable_count,
        min(session_date) filter (where unusable_count > 0) as first_unusable
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
