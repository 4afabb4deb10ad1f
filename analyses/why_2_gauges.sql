-- 2. Did rewards or votes move differently? Per gauge, realised - forecast = reward effect + vote effect.
select
    protocol,
    voter_id,
    epoch,
    decision_window,
    gauge_address,
    own_votes,
    forecast_usd,
    reward_effect_usd,
    vote_effect_usd,
    realised_usd,
    case when abs(reward_effect_usd) > abs(vote_effect_usd) then 'rewards' else 'votes' end as main_cause
from {{ ref('preboundary_backtest_votes') }}
where strategy = 'foreshore'
order by abs(realised_usd - forecast_usd) desc, epoch asc, gauge_address asc
