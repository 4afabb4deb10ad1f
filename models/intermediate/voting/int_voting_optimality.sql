with recommendations as (
    select * from {{ ref('preboundary_recommendations') }}
),

results as (
    select * from {{ ref('preboundary_backtest_results') }}
),

gates as (
    select
        protocol as subject,
        epoch::varchar as period,
        decision_window as part,
        'allocation_is_proven_optimal' as gate,
        'nothing' as scope,
        'warn' as severity,
        count(*) filter (where outcome = 'ok' and optimality_gap > {{ threshold('optimality_gap') }}) as problem_count,
        max(optimality_gap) filter (where outcome = 'ok') as measured,
        {{ threshold('optimality_gap') }} as allowed,
        'feasible, and within ' || max(optimality_gap) || ' of the best: voter '
        || max_by(voter_id, optimality_gap) as evidence,
        'nothing: the allocation is valid, its distance from the best is bounded' as cure
    from recommendations
    group by protocol, epoch, decision_window
    union all
    -- hindsight is the best of whole votes as far as it was proven: small voters may beat it by a vote
    select
        protocol,
        epoch::varchar,
        decision_window,
        'hindsight_is_the_best',
        'nothing',
        'warn',
        count(*) filter (where regret_usd < -{{ threshold('optimality_gap') }} * hindsight_usd),
        min(regret_usd),
        0,
        min_by(strategy, regret_usd) || ' earned ' || round(-min(regret_usd), 6)
        || ' USD more than the best that was found',
        'nothing: shares of hindsight of this epoch may exceed 1 by that much'
    from results
    group by protocol, epoch, decision_window
)

{{ gate_columns('voting', 'gates') }}
