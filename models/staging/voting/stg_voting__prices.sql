with source as (
    {{ newest_committed('voting_prices') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    token_address,
    token_symbol,
    decimals_status,
    price_source,
    price_status,
    price_support,
    price_raw,
    token_decimals,
    price_decimals,
    price_usd,
    liquidity_usd,
    price_updated_at,
    observed_block,
    observed_at
from source
