with source as (
    {{ newest_committed('voting_events') }}
)

select
    protocol,
    chain_id,
    epoch as scan_epoch,
    block_number,
    transaction_hash,
    log_index,
    event_kind,
    emitter_address,
    bribe_kind,
    gauge_address,
    pool_address,
    token_address,
    actor,
    decode_status,
    try_cast(amount_raw as decimal(38, 0)) as amount_raw,
    try_cast(total_after_raw as decimal(38, 0)) as total_after_raw,
    sign as vote_sign,
    event_epoch,
    is_counted,
    block_at
from source
-- consecutive scans meet in the seconds between the calendar boundary and the flip, so both hold those logs
qualify row_number() over (partition by chain_id, block_number, log_index order by epoch) = 1
