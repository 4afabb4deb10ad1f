with source as (
    {{ newest_committed('voting_bribes') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    gauge_address,
    bribe_address,
    bribe_kind,
    case
        when supply_status = 'ok' and try_cast(supply_raw as decimal(38, 0)) is null then 'overflow'
        else supply_status
    end as supply_status,
    list_status,
    try_cast(supply_raw as decimal(38, 0)) as supply_raw,
    tokens_listed,
    tokens_unread,
    is_replaced,
    observed_block,
    observed_at
from source
