with source as (
    {{ newest_committed('voting_epochs') }}
)

select
    protocol,
    chain_id,
    epoch,
    epoch_source,
    vote_log,
    status as epoch_status,
    flip_transaction_hash,
    provider,
    start_block,
    boundary_block,
    flip_block,
    truth_block,
    votes_reset_each_epoch,
    kill_clears_votes,
    epoch_start_at,
    boundary_at,
    flip_at,
    truth_at,
    fetched_at
from source
