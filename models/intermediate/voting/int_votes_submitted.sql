with submitted as (
    select * from {{ ref('stg_decisions__submitted_votes') }}
),

voter_windows as (
    select * from {{ ref('int_voter_windows') }}
),

gauge_states as (
    select * from {{ ref('stg_voting__gauge_states') }}
),

-- the newest submission made before the decision, as long as the chain shows no later vote by then
standing as (
    select
        voter_windows.protocol,
        voter_windows.epoch,
        voter_windows.decision_window,
        voter_windows.voter_id,
        max(submitted.submitted_at) as submitted_at
    from voter_windows
    inner join submitted
        on
            voter_windows.protocol = submitted.protocol
            and voter_windows.epoch = submitted.epoch
            and voter_windows.voter_id = submitted.voter_id
            and voter_windows.decision_at >= submitted.submitted_at
            and coalesce(voter_windows.voted_at < submitted.submitted_at, true)
    group by all
)

-- a vote replaces the whole vector: a gauge that the submission does not name gets zero
select
    standing.protocol,
    standing.epoch,
    standing.decision_window,
    standing.voter_id,
    gauge_states.gauge_address,
    coalesce(submitted.votes_raw, 0)::double / pow(10, {{ threshold('votes_decimals') }}) as votes,
    standing.submitted_at
from standing
inner join gauge_states
    on
        standing.protocol = gauge_states.protocol
        and standing.epoch = gauge_states.epoch
        and standing.decision_window = gauge_states.decision_window
left join submitted
    on
        standing.protocol = submitted.protocol
        and standing.epoch = submitted.epoch
        and standing.voter_id = submitted.voter_id
        and standing.submitted_at = submitted.submitted_at
        and gauge_states.gauge_address = submitted.gauge_address
