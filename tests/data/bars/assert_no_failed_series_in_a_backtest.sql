-- A run that failed has no results to be read.
select
    runs.symbol,
    runs.feed,
    runs.strategy_key,
    gates.gate,
    gates.evidence
from {{ ref('inside_bar_backtest') }} as runs
inner join {{ ref('int_bars_gates') }} as gates
    on runs.symbol || '/' || runs.feed = gates.subject and runs.strategy_key || '-' || runs.impl_version = gates.period
where gates.verdict = 'fail' and (runs.run_status = 'SUCCESS' or runs.net_usd is not null)
