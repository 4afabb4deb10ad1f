-- An allocation uses the whole power, up to the fraction of a vote that whole votes cannot hold, and respects
-- its profile: no gauge under min_votes, no more gauges than k_max.
with votes as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        risk_profile,
        sum(recommended_votes) as votes,
        min(recommended_votes) filter (where recommended_votes > 0) as least_votes,
        count(*) filter (where recommended_votes > 0) as gauges
    from {{ ref('preboundary_recommended_votes') }}
    group by all
)

select
    votes.*,
    recommendations.voting_power
from votes
inner join {{ ref('preboundary_recommendations') }} as recommendations
    on
        votes.protocol = recommendations.protocol
        and votes.voter_id = recommendations.voter_id
        and votes.epoch = recommendations.epoch
        and votes.decision_window = recommendations.decision_window
inner join {{ ref('risk_profiles') }} as risk_profiles on votes.risk_profile = risk_profiles.risk_profile
where
    votes.votes not between recommendations.voting_power - 1 and recommendations.voting_power
    or votes.least_votes < risk_profiles.min_votes
    or votes.gauges > risk_profiles.k_max
