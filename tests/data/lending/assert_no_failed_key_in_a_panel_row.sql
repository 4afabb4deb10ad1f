-- A CSU's day that a gate failed states no dollars.
select
    panel.csu_id,
    panel.day,
    panel.panel_status,
    gates.gate,
    gates.evidence
from {{ ref('csu_daily_panel') }} as panel
inner join {{ ref('int_lending_gates') }} as gates
    on panel.csu_id = gates.subject and panel.day::varchar = gates.period
where gates.verdict = 'fail' and (panel.panel_status in ('complete', 'incomplete') or panel.net_tvl_usd is not null)
