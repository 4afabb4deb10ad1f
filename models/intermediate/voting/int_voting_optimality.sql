with recommendations as (
    select * from {{ ref('preboundary_recommendations') }}
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
)

{{ gate_columns('voting', 'gates') }}
