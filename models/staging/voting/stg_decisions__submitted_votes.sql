with source as (
    {{ newest_committed('submitted_votes') }}
)

select
    protocol,
    voter_id,
    epoch,
    gauge_address,
    transaction_hash,
    outcome as submission_outcome,
    try_cast(votes_raw as decimal(38, 0)) as votes_raw,
    submitted_at,
    recorded_at
from source
