with scenarios as (
    select * from {{ ref('forecast_scenarios') }}
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    gauge_address,
    scenario_set,
    scenario,
    scenario_position,
    scenario_weight,
    other_votes as other_votes_forecast,
    rewards_usd as rewards_forecast_usd,
    decision_at
from scenarios
