with source as (
    {{ newest_committed('voting_quotes') }}
)

select
    protocol,
    chain_id,
    epoch,
    decision_window,
    token_address,
    quote_source,
    quote_kind,
    price_usd,
    coalesce(size_usd, 0.0) as size_usd,
    liquidity_usd,
    observed_block,
    price_updated_at,
    observed_at
from source
