with source as (
    {{ newest_committed('lending_liquidations') }}
)

select
    csu_id,
    chain_id,
    transaction_hash,
    log_index,
    event_kind,
    emitter_address,
    market_id,
    liquidator,
    borrower,
    debt_asset,
    collateral_token,
    collateral_asset,
    decode_status,
    try_cast(debt_raw as decimal(38, 0)) as debt_raw,
    try_cast(bad_debt_raw as decimal(38, 0)) as bad_debt_raw,
    try_cast(collateral_token_raw as decimal(38, 0)) as collateral_token_raw,
    try_cast(collateral_raw as decimal(38, 0)) as collateral_raw,
    try_cast(stated_usd_raw as decimal(38, 0)) as stated_usd_raw,
    debt_decimals,
    collateral_decimals,
    block_number,
    day,
    block_at
from source
