with source as (
    {{ newest_committed('voting_own_votes') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    voter_id,
    gauge_address,
    asked,
    contract_address,
    bribe_kind,
    try_cast(votes_raw as decimal(38, 0)) as votes_raw,
    observed_block,
    observed_at
from source
