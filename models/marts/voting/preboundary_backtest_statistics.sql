with statistics as (
    select * from {{ ref('backtest_statistics') }}
)

select
    protocol,
    voter_id,
    decision_window,
    metric,
    baseline as compared_with,
    value as metric_value,
    low as interval_low,
    high as interval_high,
    p_value,
    observations,
    passed as is_passed,
    explanation
from statistics
