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
    asset_decimals,
    try_cast(supplied_raw as decimal(38, 0)) as supplied_raw,
    try_cast(borrowed_variable_raw as decimal(38, 0)) as borrowed_variable_raw,
    try_cast(borrowed_stable_raw as decimal(38, 0)) as borrowed_stable_raw,
    try_cast(available_raw as decimal(38, 0)) as available_raw,
    observed_block,
    is_frozen,
    is_paused,
    day,
    observed_at
from source
