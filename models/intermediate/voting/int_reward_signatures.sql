with rewards as (
    select * from {{ ref('int_rewards_replayed') }}
)

-- an exact fingerprint of what a gauge's bribes held by events at a block, for equality between moments
select
    protocol,
    epoch,
    replay_block,
    gauge_address,
    md5(string_agg(bribe_address || token_address || reward_replayed_raw, ',' order by bribe_address, token_address))
        as reward_signature
from rewards
where reward_replayed_raw > 0
group by all
