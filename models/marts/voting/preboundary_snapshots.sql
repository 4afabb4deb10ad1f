with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
),

replayed as (
    select * from {{ ref('int_votes_replayed') }}
),

decision_windows as (
    select * from {{ ref('decision_windows') }}
),

gauges as (
    select * from {{ ref('gauges') }}
),

judged as (
    select
        *,
        concat_ws(
            ',',
            case when not is_alive then 'inactive' end,
            case when votes_raw is null then 'votes_unread' end,
            case when unread_count > 0 then 'rewards_unread' end,
            case when reward_count = 0 and unread_count = 0 then 'no_rewards' end,
            case when reward_count > 0 and rewards_usd is null and unread_count = 0 then 'unpriced' end,
            case when reward_count > 0 and rewards_usd < {{ threshold('min_reward_usd') }} then 'below_min_reward' end
        ) as exclusion_reasons,
        greatest(
            0.0,
            1.0
            - case when unpriced_count > 0 then {{ threshold('penalty_unpriced_reward') }} else 0.0 end
            - case when stale_count > 0 then {{ threshold('penalty_stale_price') }} else 0.0 end
            - case when is_votes_confirmed = false then {{ threshold('penalty_vote_mismatch') }} else 0.0 end
            - case when is_votes_confirmed is null then {{ threshold('penalty_unreplayed') }} else 0.0 end
            - case when reward_mismatch_count > 0 then {{ threshold('penalty_reward_mismatch') }} else 0.0 end
        ) as data_quality_score
    from gauge_windows
)

select
    judged.protocol,
    judged.chain_id,
    judged.epoch,
    judged.decision_window,
    judged.gauge_address,
    gauges.gauge_name,
    judged.pool_address,
    case decision_windows.role when 'control' then 'boundary_control' else 'observed' end as source_tag,
    judged.votes_status,
    judged.replay_status,
    judged.exclusion_reasons,
    judged.reward_signature,
    judged.votes_raw as votes_now_raw,
    judged.paying_supply_raw,
    judged.votes_replayed_raw,
    judged.votes_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes_now,
    replayed.votes_delta_60m_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes_delta_60m,
    replayed.votes_delta_15m_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes_delta_15m,
    replayed.votes_delta_5m_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes_delta_5m,
    judged.rewards_usd as rewards_now_usd,
    judged.reward_count,
    judged.unpriced_count,
    judged.stale_count,
    judged.reward_mismatch_count,
    judged.price_age_seconds,
    judged.data_quality_score,
    judged.decision_block,
    judged.observed_block,
    judged.is_alive,
    judged.exclusion_reasons = '' as is_eligible,
    judged.is_supply_confirmed,
    judged.is_votes_confirmed,
    judged.epoch_start_at,
    judged.boundary_at,
    judged.target_at,
    judged.decision_at,
    judged.observed_at
from judged
inner join decision_windows on judged.decision_window = decision_windows.decision_window
left join gauges on judged.protocol = gauges.protocol and judged.gauge_address = gauges.gauge_address
left join replayed
    on
        judged.protocol = replayed.protocol
        and judged.epoch = replayed.epoch
        and judged.decision_block = replayed.replay_block
        and judged.gauge_address = replayed.gauge_address
