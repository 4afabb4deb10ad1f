-- What the events of a day moved against what the state changed by, judged reserve by reserve.
with flows as (
    select * from {{ ref('stg_lending__flows') }}
),

assets as (
    select * from {{ ref('lending_assets') }}
    where treatment = 'rebasing'
),

prices as (
    select * from {{ ref('int_csu_prices') }}
),

reserves as (
    select
        reserves.csu_id,
        reserves.day,
        reserves.asset_address,
        any_value(reserves.asset_symbol) as asset_symbol,
        any_value(reserves.asset_decimals) as asset_decimals,
        any_value(prices.price_usd) as price_usd,
        any_value(prices.price_verdict) as price_verdict
    from {{ ref('stg_lending__reserves') }} as reserves
    left join prices
        on
            reserves.csu_id = prices.csu_id
            and reserves.day = prices.day
            and reserves.asset_address = prices.asset_address
            and reserves.observed_block = prices.block_number
    group by reserves.csu_id, reserves.day, reserves.asset_address
),

measured as (
    select
        flows.*,
        reserves.asset_symbol,
        reserves.price_verdict,
        assets.asset_address is not null as is_rebasing,
        flows.difference_raw::double as off,
        flows.rounding_raw::double as rounding,
        greatest(abs(flows.opening_raw::double), abs(flows.closing_raw::double)) as size,
        {{ scaled('flows.opening_raw', 'reserves.asset_decimals') }} as opening,
        {{ scaled('flows.closing_raw', 'reserves.asset_decimals') }} as closing,
        {{ scaled('flows.moved_in_raw', 'reserves.asset_decimals') }} as moved_in,
        {{ scaled('flows.moved_out_raw', 'reserves.asset_decimals') }} as moved_out,
        {{ scaled('flows.difference_raw', 'reserves.asset_decimals') }} as difference,
        {{ scaled('flows.difference_raw', 'reserves.asset_decimals') }} * reserves.price_usd as difference_usd,
        if(flows.measure = 'held', {{ threshold('held_gift_share') }}, {{ threshold('flow_dust_share') }}) as dust_share
    from flows
    left join reserves
        on
            flows.csu_id = reserves.csu_id
            and flows.day = reserves.day
            and flows.asset_address = reserves.asset_address
    left join assets on flows.chain_id = assets.chain_id and flows.asset_address = assets.asset_address
)

select
    csu_id,
    chain_id,
    reserve_id,
    asset_address,
    asset_symbol,
    measure,
    case
        when off is null then 'not_read'
        when abs(off) <= rounding then 'agree'
        when is_rebasing and not is_book then 'not_comparable'
        -- anybody may send tokens to a contract: a little more than the events tell is nobody's lie
        when
            not is_book and off > 0
            and (off <= dust_share * size or coalesce(difference_usd <= {{ threshold('flow_dust_usd') }}, false))
            then 'dust'
        when undecoded_count > 0 then 'undecoded'
        else 'disagree'
    end as flow_verdict,
    coalesce(price_verdict, 'unpriced') as price_verdict,
    opening_raw,
    closing_raw,
    moved_in_raw,
    moved_out_raw,
    difference_raw,
    opening,
    closing,
    moved_in,
    moved_out,
    difference,
    difference_usd,
    rounding,
    event_count,
    undecoded_count,
    opening_block,
    closing_block,
    is_book,
    day
from measured
