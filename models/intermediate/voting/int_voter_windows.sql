with voters as (
    select * from {{ ref('int_voters') }}
),

windows as (
    select * from {{ ref('stg_voting__windows') }}
),

decision_windows as (
    select * from {{ ref('decision_windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

states as (
    select * from {{ ref('stg_voting__voters') }}
),

own_votes as (
    select * from {{ ref('int_own_votes') }}
),

gates as (
    select * from {{ ref('int_voting_gates') }}
),

-- what was read at a window and is not to be trusted
failed as (
    select
        windows.protocol,
        windows.epoch,
        windows.decision_window,
        string_agg(gates.gate || ': ' || gates.evidence, '; ' order by gates.gate) as failed_gates
    from windows
    inner join gates
        on
            windows.protocol = gates.subject
            and gates.period = windows.epoch::varchar
            and gates.part in (windows.decision_window, '')
    where gates.verdict = 'fail' and gates.left_out_of = 'decision'
    group by all
),

gauge_states as (
    select * from {{ ref('stg_voting__gauge_states') }}
),

-- a kill takes a gauge out of the weights that events are held against; its stakes stay
checked as (
    select
        own_votes.protocol,
        own_votes.epoch,
        own_votes.decision_window,
        own_votes.voter_id,
        sum(own_votes.stake_raw) as standing_raw,
        bool_and(own_votes.votes_raw = own_votes.replayed_raw) filter (where gauge_states.is_alive) as is_confirmed
    from own_votes
    inner join gauge_states
        on
            own_votes.protocol = gauge_states.protocol
            and own_votes.epoch = gauge_states.epoch
            and own_votes.decision_window = gauge_states.decision_window
            and own_votes.gauge_address = gauge_states.gauge_address
    group by all
),

-- what a voter had when an epoch ended is known from its flip on
final_totals as (
    select
        checked.protocol,
        checked.epoch,
        checked.voter_id,
        checked.standing_raw as final_raw,
        epochs.flip_at as known_at
    from checked
    inner join epochs on checked.protocol = epochs.protocol and checked.epoch = epochs.epoch
    where checked.decision_window = 'boundary' and checked.standing_raw > 0
),

joined as (
    select
        windows.protocol,
        windows.chain_id,
        windows.epoch,
        windows.decision_window,
        voters.voter_id,
        voters.voter_kind,
        voters.holder,
        voters.voter_position,
        voters.stated_power,
        coalesce(states.is_exempt, voters.is_exempt) as is_exempt,
        states.account_address,
        states.token_id,
        states.owner_address,
        states.is_approved,
        states.power_raw,
        states.rewarded_power_raw,
        coalesce(states.votes_status, 'not_asked') as votes_status,
        states.vote_delay_seconds,
        states.last_voted_at as voted_at,
        epochs.votes_reset_each_epoch,
        decision_windows.role = 'control' as is_control,
        decision_windows.position as window_position,
        coalesce(checked.standing_raw, 0) as standing_raw,
        checked.is_confirmed,
        failed.failed_gates,
        final_totals.final_raw as last_final_raw,
        final_totals.epoch as last_voted_epoch,
        windows.decision_block,
        windows.observed_block,
        windows.decision_at,
        windows.observed_at
    from windows
    inner join voters on windows.protocol = voters.protocol
    inner join decision_windows on windows.decision_window = decision_windows.decision_window
    inner join epochs on windows.protocol = epochs.protocol and windows.epoch = epochs.epoch
    left join states
        on
            windows.protocol = states.protocol
            and windows.epoch = states.epoch
            and windows.decision_window = states.decision_window
            and voters.voter_id = states.voter_id
    left join failed
        on
            windows.protocol = failed.protocol
            and windows.epoch = failed.epoch
            and windows.decision_window = failed.decision_window
    left join checked
        on
            windows.protocol = checked.protocol
            and windows.epoch = checked.epoch
            and windows.decision_window = checked.decision_window
            and voters.voter_id = checked.voter_id
    left join final_totals
        on
            windows.protocol = final_totals.protocol
            and voters.voter_id = final_totals.voter_id
            and windows.decision_at > final_totals.known_at
            and windows.epoch > final_totals.epoch
    qualify
        row_number() over (
            partition by windows.protocol, windows.epoch, windows.decision_window, voters.voter_id
            order by final_totals.epoch desc nulls last
        ) = 1
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    voter_id,
    voter_kind,
    holder,
    account_address,
    token_id,
    owner_address,
    voter_position,
    window_position,
    is_control,
    is_exempt,
    is_approved,
    votes_reset_each_epoch,
    -- the contract is the source, events are its check: where they cannot speak it stands alone
    case
        when voter_id = 'observer' then 'none'
        when votes_status <> 'ok' then 'unknown'
        when not is_confirmed then 'events_differ'
        when is_confirmed then 'confirmed'
        else 'from_contract'
    end as own_votes_status,
    case
        when power_raw is not null then 'contract'
        when stated_power is not null then 'stated'
        when standing_raw > 0 then 'standing_vote'
        when last_final_raw > 0 then 'last_vote'
        else 'unknown'
    end as power_source,
    coalesce(
        power_raw::double / pow(10, {{ threshold('votes_decimals') }}),
        stated_power,
        (case when standing_raw > 0 then standing_raw else last_final_raw end)::double
        / pow(10, {{ threshold('votes_decimals') }})
    ) as voting_power,
    power_raw,
    -- of what the votes earn, the part that goes to the NFTs whose rewards are counted
    case
        when rewarded_power_raw is null then 1.0
        when power_raw > 0 then rewarded_power_raw::double / power_raw::double
        else 0.0
    end as reward_share,
    failed_gates,
    standing_raw,
    last_voted_epoch,
    vote_delay_seconds,
    decision_block,
    observed_block,
    voted_at,
    decision_at,
    observed_at
from joined
