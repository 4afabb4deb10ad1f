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

scans as (
    select * from {{ ref('stg_voting__event_scans') }}
),

votes as (
    select * from {{ ref('int_votes_by_voter') }}
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

window_totals as (
    select
        protocol,
        epoch,
        decision_window,
        voter_id,
        sum(votes_raw) as standing_raw,
        max(voted_at) as voted_at
    from votes
    group by all
),

-- what a voter had when an epoch ended is known from its flip on
final_totals as (
    select
        window_totals.protocol,
        window_totals.epoch,
        window_totals.voter_id,
        window_totals.standing_raw as final_raw,
        epochs.flip_at as known_at
    from window_totals
    inner join epochs on window_totals.protocol = epochs.protocol and window_totals.epoch = epochs.epoch
    where window_totals.decision_window = 'boundary'
),

joined as (
    select
        windows.protocol,
        windows.chain_id,
        windows.epoch,
        windows.decision_window,
        voters.voter_id,
        voters.voter_position,
        voters.stated_power,
        voters.is_exempt,
        epochs.votes_reset_each_epoch,
        decision_windows.role = 'control' as is_control,
        decision_windows.position as window_position,
        coalesce(window_totals.standing_raw, 0) as standing_raw,
        window_totals.voted_at,
        failed.failed_gates,
        final_totals.final_raw as last_final_raw,
        final_totals.epoch as last_voted_epoch,
        windows.decision_block,
        windows.observed_block,
        scans.epoch is not null as has_events,
        windows.decision_at,
        windows.observed_at
    from windows
    inner join voters on windows.protocol = voters.protocol
    inner join decision_windows on windows.decision_window = decision_windows.decision_window
    inner join epochs on windows.protocol = epochs.protocol and windows.epoch = epochs.epoch
    left join scans
        on
            windows.chain_id = scans.chain_id
            and windows.epoch = scans.epoch
            and windows.observed_block <= scans.to_block
    left join failed
        on
            windows.protocol = failed.protocol
            and windows.epoch = failed.epoch
            and windows.decision_window = failed.decision_window
    left join window_totals
        on
            windows.protocol = window_totals.protocol
            and windows.epoch = window_totals.epoch
            and windows.decision_window = window_totals.decision_window
            and voters.voter_id = window_totals.voter_id
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
    voter_position,
    window_position,
    is_control,
    is_exempt,
    votes_reset_each_epoch,
    case
        when voter_id = 'observer' then 'none'
        when not has_events then 'unknown'
        else 'from_events'
    end as own_votes_status,
    case
        when stated_power is not null then 'stated'
        when standing_raw > 0 then 'standing_vote'
        when last_final_raw > 0 then 'last_vote'
        else 'unknown'
    end as power_source,
    coalesce(
        stated_power,
        (case when standing_raw > 0 then standing_raw else last_final_raw end)::double
        / pow(10, {{ threshold('votes_decimals') }})
    ) as voting_power,
    failed_gates,
    standing_raw,
    last_voted_epoch,
    decision_block,
    observed_block,
    voted_at,
    decision_at,
    observed_at
from joined
