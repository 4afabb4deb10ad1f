with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
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
    gauge_windows.reward_signature,
    gauge_windows.votes_raw as final_votes_raw,
    gauge_windows.paying_supply_raw as final_supply_raw,
    gauge_windows.votes_raw::double / pow(10, {{ threshold('votes_decimals') }}) as final_votes,
    gauge_windows.rewards_usd as final_rewards_usd,
    gauge_windows.reward_count,
    gauge_windows.unpriced_count,
    epochs.truth_block,
    epochs.flip_block,
    gauge_windows.is_alive,
    epochs.truth_at,
    epochs.flip_at as known_at
from gauge_windows
inner join epochs on gauge_windows.protocol = epochs.protocol and gauge_windows.epoch = epochs.epoch
left join gauges on gauge_windows.protocol = gauges.protocol and gauge_windows.gauge_address = gauges.gauge_address
where gauge_windows.decision_window = 'boundary'
