with recommendations as (
    select * from {{ ref('vote_recommendations') }}
),

windows as (
    select * from {{ ref('int_voter_windows') }}
)

select
    recommendations.protocol,
    recommendations.voter_id,
    recommendations.epoch,
    recommendations.decision_window,
    recommendations.holder,
    recommendations.risk_profile,
    recommendations.outcome,
    recommendations.action as recommended_action,
    recommendations.reason,
    recommendations.inclusion_risk,
    recommendations.forecast_level,
    windows.power_source,
    recommendations.voting_power,
    recommendations.candidate_count,
    recommendations.gauges_used,
    recommendations.joint_expected_usd,
    recommendations.joint_standing_usd,
    recommendations.expected_usd,
    recommendations.conservative_usd,
    recommendations.base_usd,
    recommendations.aggressive_usd,
    recommendations.downside_usd,
    recommendations.objective_usd,
    recommendations.bound_usd,
    recommendations.optimality_gap,
    recommendations.standing_usd,
    recommendations.uplift_usd,
    recommendations.uplift_bps,
    recommendations.inclusion_prob,
    recommendations.value_if_submitted_usd,
    recommendations.value_if_kept_usd,
    recommendations.unlimited_usd,
    recommendations.limits_cost_share,
    recommendations.k_max_cost_usd,
    recommendations.max_pools_cost_usd,
    recommendations.min_votes_cost_usd,
    recommendations.max_turnover_cost_usd,
    recommendations.max_share_cost_usd,
    recommendations.gauge_lists_cost_usd,
    recommendations.turnover_share,
    recommendations.confidence as allocation_confidence,
    recommendations.decision_block,
    recommendations.decision_at
from recommendations
inner join windows
    on
        recommendations.protocol = windows.protocol
        and recommendations.voter_id = windows.voter_id
        and recommendations.epoch = windows.epoch
        and recommendations.decision_window = windows.decision_window
