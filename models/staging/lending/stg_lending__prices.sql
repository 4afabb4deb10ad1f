with source as (
    {{ newest_committed('lending_prices') }}
)

select
    csu_id,
    chain_id,
    asset_address,
    price_status,
    price_source,
    price_control,
    check_source,
    unit_asset,
    oracle_status,
    oracle_raw,
    oracle_unit,
    tried,
    price_raw,
    price_decimals,
    price_confidence,
    unit_price_usd,
    price_usd,
    check_usd,
    block_number,
    day,
    block_at,
    price_at
from source
where is_asked
