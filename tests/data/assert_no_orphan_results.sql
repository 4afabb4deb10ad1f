-- every result and contract belongs to a market that its run wrote, every market to a run
select
    'result' as orphan,
    results.run_id,
    results.market_id
from {{ ref('experiment_results') }} as results
left join {{ ref('processed_markets') }} as markets using (run_id, market_id)
where markets.market_id is null
union all
select
    'market' as orphan,
    markets.run_id,
    markets.market_id
from {{ ref('processed_markets') }} as markets
left join {{ ref('processing_runs') }} as runs using (run_id)
where runs.run_id is null
