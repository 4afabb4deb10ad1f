-- What was not to be trusted when it was read reached no decision, no forecast, and nothing that is learned or scored.
with gates as (
    select * from {{ ref('int_voting_gates') }}
    where verdict = 'fail'
),

untrusted as (
    select *
    from gates
    where left_out_of = 'score' or (left_out_of = 'decision' and part = 'boundary')
)

select
    'recommendation' as reached,
    gates.gate_key,
    gates.gate
from {{ ref('preboundary_recommendations') }} as decisions
inner join gates
    on
        decisions.protocol = gates.subject
        and gates.period in (decisions.epoch::varchar, '')
        and gates.part in (decisions.decision_window, '')
where gates.left_out_of = 'decision' and decisions.outcome not in ('gate_failed', 'no_rule')
union all
select
    'forecast',
    gates.gate_key,
    gates.gate
from {{ ref('preboundary_proxies') }} as decisions
inner join gates
    on
        decisions.protocol = gates.subject
        and gates.period = decisions.epoch::varchar
        and gates.part in (decisions.decision_window, '')
where gates.left_out_of = 'decision'
union all
select
    'backtest',
    untrusted.gate_key,
    untrusted.gate
from {{ ref('preboundary_backtest_results') }} as decisions
inner join untrusted on decisions.protocol = untrusted.subject and decisions.epoch::varchar = untrusted.period
where decisions.realised_usd is not null
union all
select
    'forecast score',
    untrusted.gate_key,
    untrusted.gate
from {{ ref('preboundary_forecast_scores') }} as decisions
inner join untrusted on decisions.protocol = untrusted.subject and decisions.epoch::varchar = untrusted.period
