with liquidations as (
    select * from {{ ref('stg_lending__liquidations') }}
),

prices as (
    select * from {{ ref('int_csu_prices') }}
),

names as (
    select * from {{ ref('int_csu_names') }}
),

priced as (
    select
        liquidations.*,
        names.csu_name,
        debt_prices.price_usd as debt_price_usd,
        debt_prices.price_source as debt_price_source,
        debt_prices.price_verdict as debt_price_verdict,
        collateral_prices.price_usd as collateral_price_usd,
        collateral_prices.price_source as collateral_price_source,
        collateral_prices.price_verdict as collateral_price_verdict
    from liquidations
    left join names on liquidations.csu_id = names.csu_id
    left join prices as debt_prices
        on
            liquidations.csu_id = debt_prices.csu_id
            and liquidations.day = debt_prices.day
            and liquidations.debt_asset = debt_prices.asset_address
            and liquidations.block_number = debt_prices.block_number
    left join prices as collateral_prices
        on
            liquidations.csu_id = collateral_prices.csu_id
            and liquidations.day = collateral_prices.day
            and liquidations.collateral_asset = collateral_prices.asset_address
            and liquidations.block_number = collateral_prices.block_number
)

select
    chain_id,
    transaction_hash,
    log_index,
    csu_id,
    csu_name,
    transaction_hash || ':' || coalesce(borrower, log_index::varchar) as liquidation_id,
    event_kind,
    emitter_address,
    market_id,
    liquidator,
    borrower,
    debt_asset,
    collateral_token,
    collateral_asset,
    debt_price_source,
    debt_price_verdict,
    collateral_price_source,
    collateral_price_verdict,
    protocol_fee_status,
    decode_status,
    raw_status,
    debt_raw,
    bad_debt_raw,
    collateral_token_raw,
    seized_token_raw,
    received_token_raw,
    seized_token_raw - received_token_raw as protocol_fee_token_raw,
    collateral_raw,
    debt,
    bad_debt,
    collateral,
    debt_price_usd,
    collateral_price_usd,
    if(is_debt_zero, 0, debt * debt_price_usd) as debt_usd,
    if(is_bad_debt_zero, 0, bad_debt * debt_price_usd) as bad_debt_usd,
    if(is_collateral_zero, 0, collateral * collateral_price_usd) as collateral_usd,
    if(is_collateral_zero, 0, collateral * collateral_price_usd)
    * (seized_token_raw / nullif(collateral_token_raw, 0)) as seized_usd,
    if(is_collateral_zero, 0, collateral * collateral_price_usd)
    * (received_token_raw / nullif(collateral_token_raw, 0)) as received_usd,
    stated_value,
    block_number,
    day,
    block_at
from priced
