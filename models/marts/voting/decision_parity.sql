with live as (
    select * from {{ ref('stg_decisions__live_decisions') }}
),

windows as (
    select * from {{ ref('stg_voting__windows') }}
),

states as (
    select * from {{ ref('int_decision_states') }}
),

decided as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        outcome,
        action,
        expected_usd,
        -- as a live decision signs its votes: gauges in order, whole votes
        coalesce(
            list_aggregate(
                list_sort(
                    list_transform(
                        list_filter(votes, lambda v: v.votes > 0),
                        lambda v: v.gauge_address || ':' || v.votes::bigint::varchar
                    )
                ),
                'string_agg', ','
            ),
            ''
        ) as votes_signed
    from {{ ref('vote_recommendations') }}
),

joined as (
    select
        live.protocol,
        live.voter_id,
        live.epoch,
        live.decision_window,
        live.decision_block_hash as live_block_hash,
        windows.decision_block_hash as final_block_hash,
        live.action as live_action,
        decided.action as final_action,
        live.confirmation,
        live.provider,
        live.decision_block as live_block,
        windows.decision_block as final_block,
        live.blocks_behind,
        live.expected_usd as live_expected_usd,
        decided.expected_usd as final_expected_usd,
        live.read_seconds,
        live.decide_seconds,
        (live.votes_signature is not distinct from states.votes_signature) as is_votes_seen_equal,
        (live.rewards_signature is not distinct from states.rewards_signature) as is_rewards_seen_equal,
        (
            live.outcome is not distinct from decided.outcome
            and live.action is not distinct from decided.action
            and live.votes_signed is not distinct from decided.votes_signed
            and live.expected_usd is not distinct from decided.expected_usd
        ) as is_decided_equal,
        decided.protocol is not null as is_decided,
        windows.protocol is not null as is_final,
        live.decision_at,
        live.decided_at
    from live
    left join windows
        on
            live.protocol = windows.protocol
            and live.epoch = windows.epoch
            and live.decision_window = windows.decision_window
    left join states
        on
            live.protocol = states.protocol
            and live.voter_id = states.voter_id
            and live.epoch = states.epoch
            and live.decision_window = states.decision_window
    left join decided
        on
            live.protocol = decided.protocol
            and live.voter_id = decided.voter_id
            and live.epoch = decided.epoch
            and live.decision_window = decided.decision_window
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    case
        when not is_final or not is_decided then 'not_final'
        when live_block <> final_block then 'other_block'
        when live_block_hash <> final_block_hash then 'reorged'
        when not is_votes_seen_equal then 'votes_differ'
        when not is_rewards_seen_equal then 'rewards_differ'
        when not is_decided_equal then 'decision_differs'
        else 'equal'
    end as decision_parity,
    live_block_hash,
    final_block_hash,
    live_action,
    final_action,
    confirmation,
    provider,
    live_block,
    final_block,
    blocks_behind,
    live_expected_usd,
    final_expected_usd,
    read_seconds,
    decide_seconds,
    decision_at,
    decided_at
from joined
