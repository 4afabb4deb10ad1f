with results as (
    select * from {{ ref('vote_backtest') }}
),

gauges as (
    select * from {{ ref('gauges') }}
),

lines as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        strategy,
        unnest(votes) as line
    from results
),

flat as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        strategy,
        line.gauge_address,
        line.votes as own_votes,
        line.votes_now as other_votes_now,
        line.votes_expected as other_votes_forecast,
        line.votes_final as other_votes_final,
        line.rewards_now_usd,
        line.rewards_expected_usd as rewards_forecast_usd,
        line.rewards_final_usd,
        line.confidence as gauge_confidence
    from lines
),

named as (
    select
        flat.*,
        gauges.gauge_name
    from flat
    left join gauges on flat.protocol = gauges.protocol and flat.gauge_address = gauges.gauge_address
)

-- from expected to realised in two exact steps: first the rewards become true, then the votes
select
    *,
    rewards_forecast_usd * own_votes / (other_votes_forecast + own_votes) as forecast_usd,
    rewards_final_usd * own_votes / (other_votes_final + own_votes) as realised_usd,
    (rewards_final_usd - rewards_forecast_usd) * own_votes / (other_votes_forecast + own_votes) as reward_effect_usd,
    rewards_final_usd * own_votes
    * (1 / (other_votes_final + own_votes) - 1 / (other_votes_forecast + own_votes)) as vote_effect_usd
from named
