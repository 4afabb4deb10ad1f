with source as (
    {{ newest_committed('bar_actions') }}
)

select
    provider,
    feed,
    symbol,
    kind as action_kind,
    raw_kind as action_raw_kind,
    new_symbol,
    position as row_position,
    old_shares,
    new_shares,
    cash_usd,
    ex_date,
    declared_on,
    payable_on,
    fetched_at
from source
