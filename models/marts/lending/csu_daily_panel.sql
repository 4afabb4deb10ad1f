with statuses as (
    select * from {{ ref('int_csu_day_statuses') }}
),

reserve_rows as (
    select
        *,
        price_verdict = 'verified' as is_verified,
        price_verdict in ('unverified', 'excluded') as is_unverified
    from {{ ref('csu_reserve_daily') }}
),

liquidation_rows as (
    select
        *,
        coalesce(debt_price_verdict, 'verified') not in ('unverified', 'excluded') as is_debt_verified,
        coalesce(collateral_price_verdict, 'verified') not in ('unverified', 'excluded') as is_collateral_verified
    from {{ ref('csu_liquidations') }}
),

missing_rows as (
    select * from {{ ref('missing_prices') }}
),

flow_rows as (
    select * from {{ ref('csu_flow_checks') }}
),

names as (
    select * from {{ ref('int_csu_names') }}
),

reserves as (
    select
        csu_id,
        day,
        -- nothing priced is null; priced, but by nobody to be trusted, is zero here and counted beside
        {{ sum_known('supplied_usd', 'not is_unverified') }} as gross_tvl_usd,
        {{ sum_known('borrowed_usd', 'not is_unverified') }} as debt_usd,
        {{ sum_known('net_usd', 'not is_unverified') }} as net_tvl_usd,
        {{ sum_known('available_usd', 'not is_unverified') }} as available_usd,
        {{ sum_known('held_usd', 'not is_unverified') }} as defillama_tvl_usd,
        {{ sum_known('minted_usd', 'not is_unverified') }} as minted_usd,
        {{ sum_known('deficit_usd', 'not is_unverified') }} as deficit_usd,
        {{ sum_known('absorbed_usd', 'not is_unverified') }} as absorbed_usd,
        {{ sum_known('supplied_usd', 'is_unverified') }} as unverified_usd,
        {{ sum_known('borrowed_usd', 'is_unverified') }} as unverified_debt_usd,
        count(*) as reserve_count,
        count(*) filter (where read_status <> 'ok') as unread_count,
        count(*) filter (where accrual = 'as_stored') as unaccrued_count,
        count(*) filter (where raw_status = 'too_large') as too_large_count,
        min(coalesce(asset_symbol, reserve_id) || ' ' || read_status) filter (where read_status <> 'ok') as first_unread
    from reserve_rows
    group by csu_id, day
),

liquidations as (
    select
        csu_id,
        day,
        count(distinct liquidation_id) filter (where event_kind <> 'deficit') as liquidation_count,
        count(*) filter (where event_kind <> 'deficit') as liquidation_event_count,
        count(*) filter (where event_kind = 'deficit') as deficit_event_count,
        count(distinct borrower) filter (where event_kind <> 'deficit') as liquidated_borrower_count,
        sum(debt_usd order by debt_usd) filter (where is_debt_verified) as repaid_debt_usd,
        sum(collateral_usd order by collateral_usd) filter (where is_collateral_verified) as seized_collateral_usd,
        sum(bad_debt_usd order by bad_debt_usd) filter (where is_debt_verified) as bad_debt_usd,
        count(debt_usd) as repaid_count,
        count(collateral_usd) as seized_count,
        count(bad_debt_usd) as bad_debt_count,
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

flows as (
    select
        csu_id,
        day,
        count(*) as flow_check_count,
        count(*) filter (where flow_verdict not in ('agree', 'dust')) as flow_open_count,
        count(*) filter (
            where flow_verdict in ('disagree', 'undecoded') and price_verdict not in ('unverified', 'excluded')
        ) as flow_disagree_count,
        min(coalesce(asset_symbol, reserve_id) || ' by ' || difference) filter (
            where flow_verdict in ('disagree', 'undecoded') and price_verdict not in ('unverified', 'excluded')
        ) as first_disagreement
    from flow_rows
    group by csu_id, day
),

joined as (
    select
        statuses.*,
        names.csu_name,
        reserves.* exclude (csu_id, day),
        liquidations.* exclude (csu_id, day),
        coalesce(missing.missing_price_count, 0) as missing_price_count,
        missing.first_missing,
        coalesce(flows.flow_check_count, 0) as flow_check_count,
        coalesce(flows.flow_disagree_count, 0) as flow_disagree_count,
        flows.first_disagreement,
        case
            when flows.flow_check_count > 0 and flows.flow_open_count = 0 then 'flow_and_state'
            else coalesce(statuses.confirmed_by, 'unconfirmed')
        end as confirmation,
        statuses.extraction_status = 'extracted' as is_extracted
    from statuses
    left join names on statuses.csu_id = names.csu_id
    left join reserves on statuses.csu_id = reserves.csu_id and statuses.day = reserves.day
    left join liquidations on statuses.csu_id = liquidations.csu_id and statuses.day = liquidations.day
    left join missing on statuses.csu_id = missing.csu_id and statuses.day = missing.day
    left join flows on statuses.csu_id = flows.csu_id and statuses.day = flows.day
),

judged as (
    select
        *,
        case
            when not is_extracted then reason
            when coalesce(unread_count, 0) > 0 then unread_count || ' reserves not read, first: ' || first_unread
            when coalesce(undecoded_count, 0) > 0 then undecoded_count || ' liquidations not decoded'
            when missing_price_count > 0 then missing_price_count || ' prices missing, first: ' || first_missing
            when flow_disagree_count > 0
                then
                    flow_disagree_count || ' reserves moved otherwise than their events say, first: '
                    || first_disagreement
            when confirmation = 'unconfirmed' and coalesce(reserve_count, 0) = 0
                then 'no market is known, and only logs could tell of one: a provider may have left them out'
            when confirmation = 'unconfirmed' then 'nobody confirmed the state: add a second provider'
        end as verdict
    from joined
)

select
    csu_id,
    csu_name,
    family,
    chain,
    chain_id,
    case
        when not is_extracted then extraction_status
        when verdict is not null then 'incomplete'
        else 'complete'
    end as panel_status,
    verdict as reason,
    if(is_extracted, confirmation, null) as confirmed_by,
    {{ shown('gross_tvl_usd') }} as gross_tvl_usd,
    {{ shown('debt_usd') }} as debt_usd,
    {{ shown('net_tvl_usd') }} as net_tvl_usd,
    {{ shown('available_usd') }} as available_usd,
    {{ shown('defillama_tvl_usd') }} as defillama_tvl_usd,
    {{ shown('minted_usd') }} as minted_usd,
    {{ shown('deficit_usd') }} as deficit_usd,
    {{ shown('absorbed_usd') }} as absorbed_usd,
    {{ shown('unverified_usd') }} as unverified_usd,
    {{ shown('unverified_debt_usd') }} as unverified_debt_usd,
    -- no liquidation repaid nothing; liquidations of which none is priced repaid nobody knows what
    case when is_extracted then coalesce(repaid_debt_usd, if(liquidation_event_count > repaid_count, null, 0)) end
        as repaid_debt_usd,
    case when is_extracted then coalesce(seized_collateral_usd, if(liquidation_event_count > seized_count, null, 0)) end
        as seized_collateral_usd,
    case when is_extracted then coalesce(bad_debt_usd, if(deficit_event_count > bad_debt_count, null, 0)) end
        as bad_debt_usd,
    if(is_extracted, coalesce(liquidation_count, 0), null) as liquidation_count,
    if(is_extracted, coalesce(liquidation_event_count, 0), null) as liquidation_event_count,
    if(is_extracted, coalesce(deficit_event_count, 0), null) as deficit_event_count,
    if(is_extracted, coalesce(liquidated_borrower_count, 0), null) as liquidated_borrower_count,
    if(is_extracted, coalesce(reserve_count, 0), null) as reserve_count,
    if(is_extracted, coalesce(unread_count, 0), null) as unread_count,
    if(is_extracted, coalesce(unaccrued_count, 0), null) as unaccrued_count,
    if(is_extracted, coalesce(too_large_count, 0), null) as too_large_count,
    if(is_extracted, missing_price_count, null) as missing_price_count,
    if(is_extracted, flow_check_count, null) as flow_check_count,
    if(is_extracted, flow_disagree_count, null) as flow_disagree_count,
    observed_block,
    scanned_from_block,
    scanned_to_block,
    day,
    observed_at
from judged
