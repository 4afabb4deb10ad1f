with scenarios as (
    select * from {{ ref('forecast_scenarios') }}
),

gauges as (
    select * from {{ ref('gauges') }}
)

select
    scenarios.protocol,
    scenarios.voter_id,
    scenarios.epoch,
    scenarios.decision_window,
    scenarios.gauge_address,
    gauges.gauge_name,
    scenarios.scenario_set,
    scenarios.scenario,
    scenarios.scenario_position,
    scenarios.scenario_weight,
    scenarios.other_votes as other_votes_forecast,
    scenarios.rewards_usd as rewards_forecast_usd,
    scenarios.decision_at
from scenarios
left join gauges on scenarios.protocol = gauges.protocol and scenarios.gauge_address = gauges.gauge_address
