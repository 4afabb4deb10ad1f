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
    coalesce(protocol_fee_status, 'unknown') as protocol_fee_status,
    {{ raw_status([
        'debt_raw', 'bad_debt_raw', 'collateral_token_raw', 'collateral_raw', 'stated_usd_raw', 'seized_token_raw',
        'received_token_raw'
    ]) }} as raw_status,
    {{ exact_integer('debt_raw') }} as debt_raw,
    {{ exact_integer('bad_debt_raw') }} as bad_debt_raw,
    {{ exact_integer('collateral_token_raw') }} as collateral_token_raw,
    {{ exact_integer('seized_token_raw') }} as seized_token_raw,
    {{ exact_integer('received_token_raw') }} as received_token_raw,
    {{ exact_integer('collateral_raw') }} as collateral_raw,
    {{ scaled('debt_raw', 'debt_decimals') }} as debt,
    {{ scaled('bad_debt_raw', 'debt_decimals') }} as bad_debt,
    {{ scaled('collateral_raw', 'collateral_decimals') }} as collateral,
    {{ scaled('stated_usd_raw', '8') }} as stated_value,
    debt_raw = '0' as is_debt_zero,
    bad_debt_raw = '0' as is_bad_debt_zero,
    collateral_raw = '0' as is_collateral_zero,
    debt_decimals,
    collateral_decimals,
    block_number,
    day,
    block_at
from source
