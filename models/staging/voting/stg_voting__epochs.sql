with source as (
    {{ newest_committed('voting_epochs') }}
)

select
    protocol,
    chain_id,
    epoch,
    epoch_source,
    vote_log,
    voter_kind,
    status as epoch_status,
    flip_transaction_hash,
    provider,
    start_block,
    boundary_block,
    last_votable_block,
    flip_block,
    truth_block,
    votes_reset_each_epoch,
    kill_clears_votes,
    epoch_start_at,
    boundary_at,
    last_votable_at,
    flip_at,
    truth_at,
    fetched_at
from source
