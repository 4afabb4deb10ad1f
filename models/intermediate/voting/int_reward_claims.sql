with claims as (
    select * from {{ ref('stg_voting__events') }}
    where event_kind = 'claim' and decode_status = 'ok'
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
)

-- one claim may be several transactions; what counts is what came in an epoch, for those that ended before it
select
    claims.protocol,
    epochs.epoch as claim_epoch,
    claims.actor as recipient_address,
    claims.emitter_address as bribe_address,
    claims.token_address,
    count(*) as claim_count,
    -- an amount beyond 38 digits is not known, and so is not their sum
    if(bool_or(claims.amount_raw is null), null, sum(claims.amount_raw)) as received_raw,
    min_by(claims.transaction_hash, (claims.block_number, claims.log_index)) as transaction_hash,
    min(claims.block_number) as claimed_block,
    min(claims.block_at) as claimed_at
from claims
asof inner join epochs
    on claims.protocol = epochs.protocol and claims.block_number >= epochs.start_block
group by all
