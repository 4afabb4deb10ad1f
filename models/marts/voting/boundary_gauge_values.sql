with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
),

gauges as (
    select * from {{ ref('gauges') }}
)

select
    gauge_windows.protocol,
    gauge_windows.chain_id,
    gauge_windows.epoch,
    gauge_windows.gauge_address,
    gauges.gauge_name,
    gauge_windows.pool_address,
    gauge_windows.votes_status,
    gauge_windows.votes_raw,
    gauge_windows.votes_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes,
    gauge_windows.rewards_usd,
    gauge_windows.reward_count,
    gauge_windows.unpriced_count,
    gauge_windows.observed_block,
    gauge_windows.is_alive,
    gauge_windows.observed_at
from gauge_windows
left join gauges on gauge_windows.protocol = gauges.protocol and gauge_windows.gauge_address = gauges.gauge_address
where gauge_windows.decision_window = 'boundary'
