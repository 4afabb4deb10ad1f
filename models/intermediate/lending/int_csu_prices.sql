-- Each price with who made it: `verified` unless the market's own maker did and nobody else agrees.
with prices as (
    select * from {{ ref('stg_lending__prices') }}
),

assets as (
    select * from {{ ref('lending_assets') }}
)

select
    prices.csu_id,
    prices.chain_id,
    prices.asset_address,
    case
        when prices.price_usd is null then 'unpriced'
        when assets.treatment = 'excluded' then 'excluded'
        when coalesce(prices.price_control, '') <> 'market' then 'verified'
        when abs(prices.check_usd / prices.price_usd - 1) <= {{ threshold('price_agree_share') }} then 'verified'
        else 'unverified'
    end as price_verdict,
    prices.price_status,
    prices.price_source,
    prices.price_control,
    prices.check_source,
    prices.tried,
    prices.price_confidence,
    prices.price_usd,
    prices.check_usd,
    prices.block_number,
    prices.day,
    prices.price_at
from prices
left join assets on prices.chain_id = assets.chain_id and prices.asset_address = assets.asset_address
