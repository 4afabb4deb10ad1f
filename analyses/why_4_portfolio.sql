-- 4. Did the window or the limits cost it? Share of hindsight by window, and what the profile's limits took.
select
    results.protocol,
    results.voter_id,
    results.decision_window,
    avg(results.hindsight_share) as mean_hindsight_share,
    avg(results.regret_usd) as mean_regret_usd,
    avg(results.turnover_share) as mean_turnover_share,
    avg(recommendations.limits_cost_share) as mean_limits_cost_share
from {{ ref('preboundary_backtest_results') }} as results
left join {{ ref('preboundary_recommendations') }} as recommendations
    on
        results.protocol = recommendations.protocol
        and results.voter_id = recommendations.voter_id
        and results.epoch = recommendations.epoch
        and results.decision_window = recommendations.decision_window
where results.strategy = 'foreshore'
group by all
order by results.protocol, results.voter_id, mean_hindsight_share
