with epochs as (
    select * from {{ ref('stg_voting__epochs') }}
)

select
    protocol,
    chain_id,
    epoch,
    epoch_source,
    epoch_status,
    flip_transaction_hash,
    start_block,
    boundary_block,
    last_votable_block,
    flip_block,
    truth_block,
    {{ seconds_between('boundary_at', 'flip_at') }} as flip_delay_seconds,
    votes_reset_each_epoch,
    epoch_start_at,
    boundary_at,
    last_votable_at,
    flip_at,
    truth_at
from epochs
