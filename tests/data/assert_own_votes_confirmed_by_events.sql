-- Own votes are asked of the contract; where events can speak, they must agree. A dead gauge is out of the weights that
-- events are held against; its stake stays.
select
    own_votes.protocol,
    own_votes.epoch,
    own_votes.decision_window,
    own_votes.voter_id,
    own_votes.gauge_address,
    own_votes.votes_raw,
    own_votes.replayed_raw
from {{ ref('int_own_votes') }} as own_votes
inner join {{ ref('int_gauge_windows') }} as gauge_windows
    on
        own_votes.protocol = gauge_windows.protocol
        and own_votes.epoch = gauge_windows.epoch
        and own_votes.decision_window = gauge_windows.decision_window
        and own_votes.gauge_address = gauge_windows.gauge_address
where
    own_votes.is_asked
    and gauge_windows.is_alive
    and own_votes.votes_raw <> own_votes.replayed_raw
