{{ config(severity = 'warn') }}
-- Prices in use that are older than a feed's heartbeat allows; the rows carry the penalty already.
select
    protocol,
    epoch,
    decision_window,
    token_symbol,
    token_address,
    max(price_age_seconds) as price_age_seconds
from {{ ref('int_rewards_valued') }}
where value_status = 'ok' and price_age_seconds > {{ threshold('price_stale_seconds') }}
group by all
