with snapshots as (
    select * from {{ ref('preboundary_snapshots') }}
),

labels as (
    select * from {{ ref('preboundary_truth_labels') }}
),

votes_replayed as (
    select * from {{ ref('int_votes_replayed') }}
),

reward_signatures as (
    select * from {{ ref('int_reward_signatures') }}
),

-- what events say a row should have shown at its decision, and what they say it became
compared as (
    select
        snapshots.protocol,
        snapshots.chain_id,
        snapshots.epoch,
        snapshots.decision_window,
        snapshots.source_tag,
        snapshots.decision_block,
        labels.truth_block,
        (snapshots.observed_block > snapshots.decision_block) as is_observed_late,
        (snapshots.votes_now_raw = labels.final_votes_raw) as is_votes_equal,
        (snapshots.reward_signature is not distinct from labels.reward_signature) as is_rewards_equal,
        (votes_then.votes_replayed_raw <> votes_final.votes_replayed_raw) as is_votes_moved,
        case
            when votes_then.replay_status = 'not_scanned' then null
            else (rewards_then.reward_signature is distinct from rewards_final.reward_signature)
        end as is_rewards_moved
    from snapshots
    inner join labels
        on
            snapshots.protocol = labels.protocol
            and snapshots.epoch = labels.epoch
            and snapshots.gauge_address = labels.gauge_address
    left join votes_replayed as votes_then
        on
            snapshots.protocol = votes_then.protocol
            and snapshots.epoch = votes_then.epoch
            and snapshots.decision_block = votes_then.replay_block
            and snapshots.gauge_address = votes_then.gauge_address
    left join votes_replayed as votes_final
        on
            labels.protocol = votes_final.protocol
            and labels.epoch = votes_final.epoch
            and labels.truth_block = votes_final.replay_block
            and labels.gauge_address = votes_final.gauge_address
    left join reward_signatures as rewards_then
        on
            snapshots.protocol = rewards_then.protocol
            and snapshots.epoch = rewards_then.epoch
            and snapshots.decision_block = rewards_then.replay_block
            and snapshots.gauge_address = rewards_then.gauge_address
    left join reward_signatures as rewards_final
        on
            labels.protocol = rewards_final.protocol
            and labels.epoch = rewards_final.epoch
            and labels.truth_block = rewards_final.replay_block
            and labels.gauge_address = rewards_final.gauge_address
),

counted as (
    select
        protocol,
        chain_id,
        epoch,
        decision_window,
        source_tag,
        source_tag <> 'observed' as is_control,
        any_value(decision_block) as decision_block,
        any_value(truth_block) as truth_block,
        count(*) as row_count,
        count(*) filter (where is_votes_equal and is_rewards_equal) as equal_count,
        count(*) filter (where is_votes_moved or is_rewards_moved) as moved_count,
        count(*) filter (where is_votes_moved is null or is_rewards_moved is null) as unproven_count,
        count(*) filter (where is_observed_late) as observed_late_count,
        count(*) filter (where (is_votes_equal and is_votes_moved) or (is_rewards_equal and is_rewards_moved))
            as certain_leak_count
    from compared
    group by all
),

judged as (
    select
        *,
        equal_count::double / row_count as equal_share,
        equal_count::double / row_count >= {{ threshold('leak_equal_share') }} as is_mostly_equal
    from counted
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    source_tag,
    case
        when certain_leak_count > 0 then 'leak'
        when observed_late_count > 0 then 'leak'
        -- a control is final state by construction: being equal is what it must be flagged for
        when is_control and is_mostly_equal then 'leak'
        when is_mostly_equal and truth_block > decision_block and unproven_count > 0 then 'suspect'
        else 'clean'
    end as verdict,
    concat_ws(
        '; ',
        case when certain_leak_count > 0 then certain_leak_count || ' rows equal a truth that moved afterwards' end,
        case when observed_late_count > 0 then observed_late_count || ' rows were read after the decision block' end,
        case when is_mostly_equal then round(100 * equal_share, 1) || ' % of rows equal the truth' end,
        case when unproven_count > 0 then unproven_count || ' rows without event evidence' end
    ) as evidence,
    decision_block,
    truth_block,
    row_count,
    equal_count,
    moved_count,
    unproven_count,
    observed_late_count,
    certain_leak_count,
    equal_share,
    is_control
from judged
