with reserves as (
    select * from {{ ref('csu_reserve_daily') }}
    where read_status = 'ok' and price_usd is null and net_usd is null
),

liquidations as (
    select * from {{ ref('csu_liquidations') }}
),

prices as (
    select * from {{ ref('stg_lending__prices') }}
),

needed as (
    select
        csu_id,
        csu_name,
        chain_id,
        'reserve' as needed_for,
        asset_address,
        supplied as amount,
        observed_block as block_number,
        day
    from reserves
    union all
    select
        csu_id,
        csu_name,
        chain_id,
        'debt' as needed_for,
        debt_asset as asset_address,
        debt as amount,
        block_number,
        day
    from liquidations
    where debt_asset is not null and debt > 0 and debt_usd is null
    union all
    select
        csu_id,
        csu_name,
        chain_id,
        'bad_debt' as needed_for,
        debt_asset as asset_address,
        bad_debt as amount,
        block_number,
        day
    from liquidations
    where debt_asset is not null and bad_debt > 0 and bad_debt_usd is null
    union all
    select
        csu_id,
        csu_name,
        chain_id,
        'collateral' as needed_for,
        collateral_asset as asset_address,
        collateral as amount,
        block_number,
        day
    from liquidations
    where collateral_asset is not null and collateral > 0 and collateral_usd is null
)

select
    needed.csu_id,
    needed.csu_name,
    needed.chain_id,
    needed.asset_address,
    needed.needed_for,
    max(coalesce(prices.tried, 'not asked')) as tried,
    count(*) as row_count,
    sum(needed.amount order by needed.amount) as amount,
    needed.block_number,
    needed.day
from needed
left join prices
    on
        needed.csu_id = prices.csu_id
        and needed.day = prices.day
        and needed.asset_address = prices.asset_address
        and needed.block_number = prices.block_number
group by
    needed.csu_id,
    needed.csu_name,
    needed.chain_id,
    needed.asset_address,
    needed.needed_for,
    needed.block_number,
    needed.day
