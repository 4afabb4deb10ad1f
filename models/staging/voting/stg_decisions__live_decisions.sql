with source as (
    {{ newest_committed('live_decisions') }}
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    decision_block_hash,
    confirmation,
    provider,
    votes_signature,
    rewards_signature,
    outcome,
    action,
    votes as votes_signed,
    decision_block,
    blocks_behind,
    expected_usd,
    standing_usd,
    read_seconds,
    decide_seconds,
    decision_at,
    decided_at
from source
