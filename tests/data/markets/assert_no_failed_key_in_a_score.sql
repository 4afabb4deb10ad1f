-- A failed run, or a market whose end is in doubt, is scored by nobody.
select
    scored.run_id,
    scored.market_id,
    gates.gate,
    gates.evidence
from {{ ref('int_forecasts_scored') }} as scored
inner join {{ ref('int_markets_gates') }} as gates
    on gates.subject in (scored.run_id, 'market ' || scored.market_id)
where gates.verdict = 'fail' and gates.left_out_of = 'score'
