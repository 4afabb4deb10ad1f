with reserves as (
    select * from {{ ref('stg_lending__reserves') }}
),

prices as (
    select * from {{ ref('stg_lending__prices') }}
),

priced as (
    select
        reserves.*,
        reserves.borrowed_variable_raw + reserves.borrowed_stable_raw as borrowed_raw,
        {{ scaled('reserves.supplied_raw', 'reserves.asset_decimals') }} as supplied,
        {{ scaled('borrowed_raw', 'reserves.asset_decimals') }} as borrowed,
        {{ scaled('reserves.available_raw', 'reserves.asset_decimals') }} as available,
        prices.price_usd,
        coalesce(prices.price_status, 'not_extracted') as price_status,
        prices.price_source,
        prices.price_at,
        prices.tried
    from reserves
    left join prices
        on
            reserves.csu_id = prices.csu_id
            and reserves.day = prices.day
            and reserves.asset_address = prices.asset_address
            and reserves.observed_block = prices.block_number
)

select
    csu_id,
    chain_id,
    reserve_id,
    market_id,
    asset_address,
    asset_symbol,
    reserve_role,
    read_status,
    price_status,
    price_source,
    tried,
    asset_decimals,
    supplied_raw,
    borrowed_variable_raw,
    borrowed_stable_raw,
    available_raw,
    supplied,
    borrowed,
    supplied - borrowed as net_supplied,
    available,
    price_usd,
    -- nothing is worth nothing whatever its price; anything without a price stays null
    if(supplied_raw = 0, 0, supplied * price_usd) as supplied_usd,
    if(borrowed_raw = 0, 0, borrowed * price_usd) as borrowed_usd,
    if(supplied_raw = 0 and borrowed_raw = 0, 0, (supplied - borrowed) * price_usd) as net_usd,
    if(available_raw = 0, 0, available * price_usd) as available_usd,
    {{ seconds_between('price_at', 'observed_at') }} as price_age_seconds,
    observed_block,
    is_frozen,
    is_paused,
    day,
    observed_at,
    price_at
from priced
