with counts as (
    select * from {{ ref('submission_counts') }}
),

submitted as (
    select * from {{ ref('stg_decisions__submitted_votes') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

voters as (
    select * from {{ ref('stg_voting__voters') }}
),

sent as (
    select
        protocol,
        voter_id,
        epoch,
        submitted_at,
        any_value(submission_outcome) as submission_outcome
    from submitted
    group by all
),

-- an outcome that was not stated is seen in the contract for the epoch's last vote only: it keeps no others
judged as (
    select
        sent.protocol,
        sent.voter_id,
        sent.epoch,
        {{ seconds_between('sent.submitted_at', 'epochs.boundary_at') }} as seconds_before,
        coalesce(
            sent.submission_outcome,
            case
                when
                    sent.submitted_at
                    = max(sent.submitted_at) over (partition by sent.protocol, sent.voter_id, sent.epoch)
                    then case when voters.last_voted_at >= sent.submitted_at then 'landed' else 'reverted' end
            end
        ) as submission_outcome,
        epochs.flip_at as known_at
    from sent
    inner join epochs
        on
            sent.protocol = epochs.protocol
            and sent.epoch = epochs.epoch
            and sent.submitted_at between epochs.epoch_start_at and epochs.boundary_at
    left join voters
        on
            sent.protocol = voters.protocol
            and sent.epoch = voters.epoch
            and sent.voter_id = voters.voter_id
            and voters.decision_window = 'boundary'
    where epochs.flip_at is not null
)

select
    '' as protocol,
    '' as voter_id,
    0 as epoch,
    seconds_before,
    epochs::bigint as epochs,
    landed::bigint as landed,
    reverted::bigint as reverted,
    outages::bigint as outages,
    null::timestamptz as known_at
from counts
union all
select
    protocol,
    voter_id,
    epoch,
    seconds_before,
    1 as epochs,
    (submission_outcome = 'landed')::bigint as landed,
    (submission_outcome = 'reverted')::bigint as reverted,
    (submission_outcome = 'not_sent')::bigint as outages,
    known_at
from judged
where submission_outcome is not null
