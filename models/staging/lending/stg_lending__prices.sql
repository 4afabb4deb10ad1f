with source as (
    {{ newest_committed('lending_prices') }}
)

select
    csu_id,
    chain_id,
    asset_address,
    price_status,
    price_source,
    unit_asset,
    tried,
    price_raw,
    price_decimals,
    unit_price_usd,
    price_usd,
    block_number,
    day,
    block_at,
    price_at
from source
