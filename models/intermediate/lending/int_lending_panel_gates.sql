with panel as (
    select
        *,
        lag(net_tvl_usd) over (
            partition by csu_id, panel_status = 'complete'
            order by day
        ) as previous_net_tvl_usd
    from {{ ref('csu_daily_panel') }}
),

newest as (
    select
        csu_id,
        max(day) filter (where panel_status in ('complete', 'incomplete')) as newest_day,
        max(day) as panel_day
    from panel
    where panel_status <> 'unsupported'
    group by csu_id
    having bool_or(panel_status in ('complete', 'incomplete'))
),

gates as (
    select
        csu_id as subject,
        day::varchar as period,
        '' as part,
        'day_is_complete' as gate,
        'nothing' as scope,
        'warn' as severity,
        (panel_status = 'incomplete')::int as problem_count,
        missing_price_count as measured,
        0 as allowed,
        reason as evidence,
        'foreshore extract lending --csu ' || csu_id || ' --since ' || day || ' --until ' || day
        || if(missing_price_count > 0, ' --retry-missing', '') as cure
    from panel
    where panel_status in ('complete', 'incomplete')
    union all
    -- an honest market rarely loses or doubles half of itself overnight: look at what moved
    select
        csu_id,
        day::varchar,
        '',
        'moves_gently',
        'nothing',
        'warn',
        (
            abs(net_tvl_usd - previous_net_tvl_usd)
            > {{ threshold('panel_jump_share') }} * abs(previous_net_tvl_usd)
        )::int,
        net_tvl_usd,
        previous_net_tvl_usd,
        'net TVL went from ' || round(previous_net_tvl_usd) || ' to ' || round(net_tvl_usd) || ' USD',
        'select * from csu_reserve_daily where csu_id = ''' || csu_id || ''' and day = ''' || day || ''''
    from panel
    where panel_status = 'complete' and previous_net_tvl_usd is not null
    union all
    select
        csu_id,
        '',
        '',
        'is_refreshed',
        'nothing',
        'warn',
        (panel_day - newest_day > {{ threshold('panel_stale_days') }})::int,
        panel_day - newest_day,
        {{ threshold('panel_stale_days') }},
        'its newest day is ' || newest_day || ', the panel goes to ' || panel_day,
        'foreshore extract lending --csu ' || csu_id || ' --since ' || newest_day || ' --until ' || panel_day
    from newest
)

{{ gate_columns('lending', 'gates') }}
