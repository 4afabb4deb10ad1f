with entitled as (
    select * from {{ ref('int_own_rewards') }}
    where decision_window = 'boundary' and not is_replaced and entitled_amount > 0
),

rewards as (
    select * from {{ ref('int_rewards_valued') }}
    where decision_window = 'boundary'
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
    where epoch_status = 'ended'
),

voters as (
    select * from {{ ref('stg_voting__voters') }}
    where decision_window = 'boundary'
),

claims as (
    select * from {{ ref('int_reward_claims') }}
),

prices as (
    select * from {{ ref('stg_voting__prices') }}
    where price_status = 'ok'
),

owed as (
    select
        entitled.protocol,
        entitled.voter_id,
        entitled.epoch,
        entitled.gauge_address,
        entitled.bribe_address,
        entitled.bribe_kind,
        entitled.token_address,
        rewards.token_symbol,
        rewards.token_decimals,
        coalesce(voters.owner_address, voters.account_address) as recipient_address,
        entitled.entitled_amount,
        entitled.entitled_usd,
        entitled.entitled_usd / nullif(entitled.entitled_amount, 0) as usd_each
    from entitled
    inner join epochs on entitled.protocol = epochs.protocol and entitled.epoch = epochs.epoch
    inner join voters
        on
            entitled.protocol = voters.protocol
            and entitled.epoch = voters.epoch
            and entitled.voter_id = voters.voter_id
    inner join rewards
        on
            entitled.protocol = rewards.protocol
            and entitled.epoch = rewards.epoch
            and entitled.bribe_address = rewards.bribe_address
            and entitled.token_address = rewards.token_address
),

-- a claim pays everything that was owed when its epoch began and had not been paid before
paid as (
    select
        owed.*,
        claims.claim_epoch,
        claims.received_raw,
        claims.received_raw::double / pow(10, owed.token_decimals) as claim_amount,
        claims.transaction_hash,
        claims.claimed_block,
        claims.claimed_at
    from owed
    asof left join claims
        on
            owed.protocol = claims.protocol
            and owed.recipient_address = claims.recipient_address
            and owed.bribe_address = claims.bribe_address
            and owed.token_address = claims.token_address
            and owed.epoch < claims.claim_epoch
),

shared as (
    select
        *,
        count(*) over of_claim as sharing_count,
        sum(entitled_amount order by epoch) over of_claim as sharing_amount
    from paid
    window of_claim as (partition by protocol, recipient_address, bribe_address, token_address, claim_epoch)
),

-- contracts round each epoch's part down to whole units, which is much of a token that has few
received as (
    select
        *,
        case
            when claim_epoch is null then 0.0
            when sharing_count = 1 then claim_amount
            else claim_amount * entitled_amount / sharing_amount
        end as received_amount,
        case
            when claim_epoch is null then 'not_claimed'
            when claim_amount is null then 'unread'
            when
                abs(claim_amount - sharing_amount)
                > {{ threshold('receipt_tolerance') }} * sharing_amount + 2 * sharing_count / pow(10, token_decimals)
                then 'differs'
            when sharing_count > 1 then 'shared'
            else 'received'
        end as receipt_status
    from shared
)

select
    received.protocol,
    received.voter_id,
    received.epoch,
    received.gauge_address,
    gauges.gauge_name,
    received.bribe_address,
    received.bribe_kind,
    received.token_address,
    received.token_symbol,
    received.recipient_address,
    received.receipt_status,
    received.entitled_amount,
    received.received_amount,
    received.received_raw as claim_raw,
    received.token_decimals,
    received.sharing_count,
    received.entitled_usd,
    -- nothing is worth nothing, also where nobody knows a price
    if(received.claim_epoch is null, 0.0, received.received_amount * received.usd_each) as received_then_usd,
    if(
        received.claim_epoch is null,
        0.0,
        received.received_amount * coalesce(prices.price_usd, received.usd_each)
    ) as received_as_claimed_usd,
    received.transaction_hash,
    received.claimed_block,
    received.claimed_at,
    -- in DuckDB 1.5.5 a null meets a price, too, in 2.0 none
    if(received.claim_epoch is null, null, prices.observed_at) as priced_at
from received
left join {{ ref('gauges') }} as gauges
    on received.protocol = gauges.protocol and received.gauge_address = gauges.gauge_address
asof left join prices
    on
        received.protocol = prices.protocol
        and received.token_address = prices.token_address
        and received.claimed_at >= prices.observed_at
