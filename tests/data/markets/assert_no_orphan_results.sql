-- every result and contract belongs to a market that its run wrote, every market to a run
select
    'result' as orphan,
    results.run_id,
    results.market_id
from {{ ref('experiment_results') }} as results
left join {{ ref('processed_markets') }} as markets
    on results.run_id = markets.run_id and results.market_id = markets.market_id
where markets.market_id is null
union all
select
    'contract' as orphan,
    contracts.run_id,
    contracts.market_id
from {{ ref('processed_contracts') }} as contracts
left join {{ ref('processed_markets') }} as markets
    on contracts.run_id = markets.run_id and contracts.market_id = markets.market_id
where markets.market_id is null
union all
select
    'market' as orphan,
    markets.run_id,
    markets.market_id
from {{ ref('processed_markets') }} as markets
left join {{ ref('processing_runs') }} as runs on markets.run_id = runs.run_id
where runs.run_id is null
