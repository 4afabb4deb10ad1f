-- A price past its age cap must never have become dollars, and none may be newer than the block it was read at.
select
    protocol,
    epoch,
    decision_window,
    token_address,
    price_age_seconds,
    reward_usd
from {{ ref('int_rewards_valued') }}
where
    reward_usd <> 0
    and (price_age_seconds > {{ threshold('price_max_age_seconds') }} or price_updated_at > observed_at)
