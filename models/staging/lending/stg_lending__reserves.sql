with source as (
    {{ newest_committed('lending_reserves') }}
)

select
    csu_id,
    chain_id,
    reserve_id,
    market_id,
    asset_address,
    asset_symbol,
    role as reserve_role,
    read_status,
    coalesce(accrual, 'unknown') as accrual,
    {{ raw_status(['supplied_raw', 'borrowed_variable_raw', 'borrowed_stable_raw', 'available_raw', 'held_raw']) }}
        as raw_status,
    asset_decimals,
    {{ exact_integer('supplied_raw') }} as supplied_raw,
    {{ exact_integer('borrowed_variable_raw') }} as borrowed_variable_raw,
    {{ exact_integer('borrowed_stable_raw') }} as borrowed_stable_raw,
    {{ exact_integer('available_raw') }} as available_raw,
    {{ exact_integer('held_raw') }} as held_raw,
    {{ scaled('supplied_raw', 'asset_decimals') }} as supplied,
    {{ scaled('borrowed_variable_raw', 'asset_decimals') }}
    + {{ scaled('borrowed_stable_raw', 'asset_decimals') }} as borrowed,
    {{ scaled('available_raw', 'asset_decimals') }} as available,
    {{ scaled('held_raw', 'asset_decimals') }} as held,
    {{ scaled('minted_raw', 'asset_decimals') }} as minted,
    {{ scaled('deficit_raw', 'asset_decimals') }} as deficit,
    {{ scaled('absorbed_raw', 'asset_decimals') }} as absorbed,
    supplied_raw = '0' as is_supplied_zero,
    borrowed_variable_raw = '0' and borrowed_stable_raw = '0' as is_borrowed_zero,
    observed_block,
    is_frozen,
    is_paused,
    day,
    observed_at
from source
