with own_votes as (
    select * from {{ ref('stg_voting__own_votes') }}
),

rewards as (
    select * from {{ ref('int_rewards_valued') }}
),

voter_windows as (
    select * from {{ ref('int_voter_windows') }}
)

-- as the paying contract counts: reward * own stake / all stakes, and of that the part of the NFTs that are counted
select
    own_votes.protocol,
    own_votes.epoch,
    own_votes.decision_window,
    own_votes.voter_id,
    own_votes.gauge_address,
    rewards.bribe_address,
    rewards.bribe_kind,
    rewards.token_address,
    rewards.value_status,
    own_votes.votes_raw as stake_raw,
    rewards.supply_raw,
    voter_windows.reward_share,
    rewards.reward_amount * (own_votes.votes_raw::double / rewards.supply_raw::double) * voter_windows.reward_share
        as entitled_amount,
    rewards.reward_usd * (own_votes.votes_raw::double / rewards.supply_raw::double) * voter_windows.reward_share
        as entitled_usd,
    rewards.is_replaced
from own_votes
inner join rewards
    on
        own_votes.protocol = rewards.protocol
        and own_votes.epoch = rewards.epoch
        and own_votes.decision_window = rewards.decision_window
        and own_votes.contract_address = rewards.bribe_address
inner join voter_windows
    on
        own_votes.protocol = voter_windows.protocol
        and own_votes.epoch = voter_windows.epoch
        and own_votes.decision_window = voter_windows.decision_window
        and own_votes.voter_id = voter_windows.voter_id
where own_votes.asked = 'bribe' and rewards.value_status not in ('zero', 'unread')
