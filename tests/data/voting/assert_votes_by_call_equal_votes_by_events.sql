-- Two ways to the same number: state by eth_call at the block, and the sum of events up to it.
select
    protocol,
    epoch,
    decision_window,
    gauge_address,
    replay_status,
    votes_now_raw,
    votes_replayed_raw
from {{ ref('preboundary_snapshots') }}
where is_votes_confirmed = false
