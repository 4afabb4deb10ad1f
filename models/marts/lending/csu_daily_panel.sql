with statuses as (
    select * from {{ ref('int_csu_day_statuses') }}
),

reserve_rows as (
    select * from {{ ref('csu_reserve_daily') }}
),

liquidation_rows as (
    select * from {{ ref('csu_liquidations') }}
),

missing_rows as (
    select * from {{ ref('missing_prices') }}
),

reserves as (
    select
        csu_id,
        day,
        sum(supplied_usd) as gross_tvl_usd,
        sum(borrowed_usd) as debt_usd,
        sum(net_usd) as net_tvl_usd,
        sum(available_usd) as available_usd,
        count(*) as reserve_count,
        count(*) filter (where read_status <> 'ok') as unread_count,
        min(coalesce(asset_symbol, reserve_id) || ' ' || read_status) filter (where read_status <> 'ok') as first_unread
    from reserve_rows
    group by csu_id, day
),

liquidations as (
    select
        csu_id,
        day,
        count(distinct liquidation_id) filter (where event_kind <> 'deficit') as liquidation_count,
        count(*) as liquidation_event_count,
        count(distinct borrower) filter (where event_kind <> 'deficit') as liquidated_borrower_count,
        sum(debt_usd) as repaid_debt_usd,
        sum(collateral_usd) as seized_collateral_usd,
        sum(bad_debt_usd) as bad_debt_usd,
        count(*) filter (where decode_status <> 'ok') as undecoded_count
    from liquidation_rows
    group by csu_id, day
),

missing as (
    select
        csu_id,
        day,
        count(*) as missing_price_count,
        min(asset_address) as first_missing
    from missing_rows
    group by csu_id, day
),

joined as (
    select
        statuses.*,
        reserves.* exclude (csu_id, day),
        liquidations.* exclude (csu_id, day),
        coalesce(missing.missing_price_count, 0) as missing_price_count,
        missing.first_missing,
        statuses.extraction_status = 'extracted' as is_extracted
    from statuses
    left join reserves on statuses.csu_id = reserves.csu_id and statuses.day = reserves.day
    left join liquidations on statuses.csu_id = liquidations.csu_id and statuses.day = liquidations.day
    left join missing on statuses.csu_id = missing.csu_id and statuses.day = missing.day
)

select
    csu_id,
    family,
    chain,
    chain_id,
    case
        when not is_extracted then extraction_status
        when coalesce(unread_count, 0) + coalesce(undecoded_count, 0) + missing_price_count > 0 then 'incomplete'
        else 'complete'
    end as panel_status,
    case
        when not is_extracted then reason
        when coalesce(unread_count, 0) > 0 then unread_count || ' reserves not read, first: ' || first_unread
        when coalesce(undecoded_count, 0) > 0 then undecoded_count || ' liquidations not decoded'
        when missing_price_count > 0 then missing_price_count || ' prices missing, first: ' || first_missing
    end as reason,
    if(is_extracted, coalesce(gross_tvl_usd, 0), null) as gross_tvl_usd,
    if(is_extracted, coalesce(debt_usd, 0), null) as debt_usd,
    if(is_extracted, coalesce(net_tvl_usd, 0), null) as net_tvl_usd,
    if(is_extracted, coalesce(available_usd, 0), null) as available_usd,
    if(is_extracted, coalesce(repaid_debt_usd, 0), null) as repaid_debt_usd,
    if(is_extracted, coalesce(seized_collateral_usd, 0), null) as seized_collateral_usd,
    if(is_extracted, coalesce(bad_debt_usd, 0), null) as bad_debt_usd,
    if(is_extracted, coalesce(liquidation_count, 0), null) as liquidation_count,
    if(is_extracted, coalesce(liquidation_event_count, 0), null) as liquidation_event_count,
    if(is_extracted, coalesce(liquidated_borrower_count, 0), null) as liquidated_borrower_count,
    if(is_extracted, coalesce(reserve_count, 0), null) as reserve_count,
    if(is_extracted, coalesce(unread_count, 0), null) as unread_count,
    if(is_extracted, missing_price_count, null) as missing_price_count,
    observed_block,
    scanned_from_block,
    scanned_to_block,
    day,
    observed_at
from joined
