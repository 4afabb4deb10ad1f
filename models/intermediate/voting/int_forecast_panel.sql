with features as (
    select * from {{ ref('preboundary_features') }}
),

labels as (
    select * from {{ ref('preboundary_truth_labels') }}
),

votes as (
    select * from {{ ref('int_own_votes') }}
),

voter_windows as (
    select * from {{ ref('int_voter_windows') }}
),

single_votes as (
    select * from {{ ref('int_votes_by_voter') }}
),

gates as (
    select * from {{ ref('int_voting_gates') }}
    where verdict = 'fail'
),

-- nothing is learned from, or scored by, an epoch whose end is not to be trusted
untrusted as (
    select distinct subject || '/' || period as epoch_key
    from gates
    where left_out_of = 'score' or (left_out_of = 'decision' and part = 'boundary')
),

-- who at a window has more than a small share of all votes there is forecast one by one
large_votes as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        voter_id,
        votes_raw::double / pow(10, {{ threshold('votes_decimals') }}) as votes
    from single_votes
    qualify
        (sum(votes_raw) over (partition by protocol, epoch, decision_window, voter_id))::double
        >= {{ threshold('large_voter_share') }}
        * (sum(votes_raw) over (partition by protocol, epoch, decision_window))::double
),

-- the voter itself is none of the others
large_voters as (
    select
        voter_windows.protocol,
        voter_windows.epoch,
        voter_windows.decision_window,
        voter_windows.voter_id,
        large_votes.gauge_address,
        list(
            struct_pack(voter_id := large_votes.voter_id, votes := large_votes.votes) order by large_votes.voter_id
        ) as large_votes
    from voter_windows
    inner join large_votes
        on
            voter_windows.protocol = large_votes.protocol
            and voter_windows.epoch = large_votes.epoch
            and voter_windows.decision_window = large_votes.decision_window
            and large_votes.voter_id
            is distinct from coalesce(voter_windows.account_address, voter_windows.token_id)
    group by all
)

-- the truth stands beside what was visible: whoever reads it must first ask whether known_at < decision_at
select
    features.protocol,
    features.voter_id,
    features.epoch,
    features.decision_window,
    features.gauge_address,
    features.other_votes_now,
    (labels.final_supply_raw - coalesce(votes.stake_raw, 0))::double
    / pow(10, {{ threshold('votes_decimals') }}) as other_votes_final,
    coalesce(votes.stake_raw, 0)::double / pow(10, {{ threshold('votes_decimals') }}) as own_votes_final,
    features.own_votes_now,
    features.previous_votes,
    coalesce(features.rewards_now_usd, 0.0) as rewards_now_usd,
    labels.final_rewards_usd as rewards_final_usd,
    features.confidence as data_confidence,
    features.is_price_stale,
    features.is_candidate,
    seen.large_votes as large_votes_now,
    case when labels.known_at is not null then ended.large_votes end as large_votes_final,
    features.decision_at,
    labels.known_at
from features
left join labels
    on
        features.protocol = labels.protocol
        and features.epoch = labels.epoch
        and features.gauge_address = labels.gauge_address
        and labels.final_supply_raw is not null
        and labels.final_rewards_usd is not null
        and labels.protocol || '/' || labels.epoch not in (select untrusted.epoch_key from untrusted)
left join votes
    on
        features.protocol = votes.protocol
        and features.epoch = votes.epoch
        and votes.decision_window = 'boundary'
        and features.gauge_address = votes.gauge_address
        and features.voter_id = votes.voter_id
inner join voter_windows
    on
        features.protocol = voter_windows.protocol
        and features.voter_id = voter_windows.voter_id
        and features.epoch = voter_windows.epoch
        and features.decision_window = voter_windows.decision_window
left join large_voters as seen
    on
        features.protocol = seen.protocol
        and features.epoch = seen.epoch
        and features.decision_window = seen.decision_window
        and features.gauge_address = seen.gauge_address
        and features.voter_id = seen.voter_id
left join large_voters as ended
    on
        features.protocol = ended.protocol
        and features.epoch = ended.epoch
        and ended.decision_window = 'boundary'
        and features.gauge_address = ended.gauge_address
        and features.voter_id = ended.voter_id
-- what stands on a gauge that may not be voted for (any more) is still paid
where
    voter_windows.failed_gates is null
    and (
        features.is_candidate
        or (features.other_votes_now is not null and (features.own_votes_now > 0 or features.previous_votes > 0))
    )
