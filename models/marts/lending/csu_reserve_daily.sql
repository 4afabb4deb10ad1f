with reserves as (
    select * from {{ ref('stg_lending__reserves') }}
),

prices as (
    select * from {{ ref('int_csu_prices') }}
),

names as (
    select * from {{ ref('int_csu_names') }}
),

priced as (
    select
        reserves.* exclude (held),
        names.csu_name,
        -- the DefiLlama way: tokens that stand in the contracts, whoever owns them
        case
            when reserves.reserve_role = 'minted' then 0
            when reserves.reserve_role = 'collateral' then reserves.supplied + reserves.absorbed
            else coalesce(reserves.held, reserves.available)
        end as held,
        -- what a minter owes was never supplied; what nobody owes any more is not there
        reserves.supplied - reserves.borrowed + reserves.minted - reserves.deficit as net_supplied,
        prices.price_usd,
        coalesce(prices.price_status, 'not_extracted') as price_status,
        coalesce(prices.price_verdict, 'unpriced') as price_verdict,
        prices.price_source,
        prices.price_control,
        prices.price_confidence,
        prices.check_usd,
        prices.check_source,
        prices.price_at,
        prices.tried
    from reserves
    left join names on reserves.csu_id = names.csu_id
    left join prices
        on
            reserves.csu_id = prices.csu_id
            and reserves.day = prices.day
            and reserves.asset_address = prices.asset_address
            and reserves.observed_block = prices.block_number
)

select
    csu_id,
    csu_name,
    chain_id,
    reserve_id,
    market_id,
    asset_address,
    asset_symbol,
    reserve_role,
    read_status,
    raw_status,
    accrual,
    price_status,
    price_verdict,
    price_source,
    price_control,
    check_source,
    tried,
    asset_decimals,
    supplied_raw,
    borrowed_variable_raw,
    borrowed_stable_raw,
    available_raw,
    supplied,
    borrowed,
    net_supplied,
    available,
    held,
    minted,
    deficit,
    absorbed,
    price_usd,
    price_confidence,
    check_usd,
    -- nothing is worth nothing whatever its price; anything without a price stays null
    if(is_supplied_zero, 0, supplied * price_usd) as supplied_usd,
    if(is_borrowed_zero, 0, borrowed * price_usd) as borrowed_usd,
    if(is_supplied_zero and is_borrowed_zero and deficit = 0, 0, net_supplied * price_usd) as net_usd,
    if(available = 0, 0, available * price_usd) as available_usd,
    if(held = 0, 0, held * price_usd) as held_usd,
    if(minted = 0, 0, minted * price_usd) as minted_usd,
    if(deficit = 0, 0, deficit * price_usd) as deficit_usd,
    if(absorbed = 0, 0, absorbed * price_usd) as absorbed_usd,
    {{ seconds_between('price_at', 'observed_at') }} as price_age_seconds,
    observed_block,
    is_frozen,
    is_paused,
    day,
    observed_at,
    price_at
from priced
