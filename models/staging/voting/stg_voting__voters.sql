with source as (
    {{ newest_committed('voting_voters') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    voter_id,
    voter_kind,
    account_address,
    token_id,
    owner_address,
    case
        when power_status = 'ok' and try_cast(power_raw as decimal(38, 0)) is null then 'overflow'
        else power_status
    end as power_status,
    votes_status,
    try_cast(power_raw as decimal(38, 0)) as power_raw,
    try_cast(rewarded_power_raw as decimal(38, 0)) as rewarded_power_raw,
    vote_delay_seconds,
    is_approved,
    is_exempt,
    observed_block,
    last_voted_at,
    observed_at
from source
