with recommendations as (
    select * from {{ ref('vote_recommendations') }}
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
        risk_profile,
        decision_at,
        unnest(votes) as line
    from recommendations
)

select
    lines.protocol,
    lines.voter_id,
    lines.epoch,
    lines.decision_window,
    lines.risk_profile,
    lines.line.gauge_address,
    gauges.gauge_name,
    gauges.pool_address,
    lines.line.forecast_level,
    lines.line.votes as recommended_votes,
    lines.line.previous_votes,
    lines.line.change_votes,
    lines.line.expected_usd,
    lines.line.conservative_usd,
    lines.line.base_usd,
    lines.line.aggressive_usd,
    lines.line.base_other_votes,
    lines.line.base_rewards_usd,
    lines.line.confidence as gauge_confidence,
    lines.decision_at
from lines
left join gauges on lines.protocol = gauges.protocol and lines.line.gauge_address = gauges.gauge_address
