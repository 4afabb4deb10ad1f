{{ config(severity = 'warn') }}
-- A CSU whose net TVL moves by more than the threshold from one complete day to the next deserves a look.
with panel as (
    select
        csu_id,
        day,
        net_tvl_usd,
        lag(net_tvl_usd) over (partition by csu_id order by day) as previous_net_tvl_usd
    from {{ ref('csu_daily_panel') }}
    where panel_status = 'complete'
)

select *
from panel
where abs(net_tvl_usd - previous_net_tvl_usd) > {{ threshold('panel_jump_share') }} * abs(previous_net_tvl_usd)
