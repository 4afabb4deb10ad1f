with verdicts as (
    select * from {{ ref('int_csu_flow_verdicts') }}
)

select
    csu_id,
    chain_id,
    reserve_id,
    asset_address,
    asset_symbol,
    measure,
    flow_verdict,
    price_verdict,
    opening_raw,
    closing_raw,
    moved_in_raw,
    moved_out_raw,
    difference_raw,
    opening,
    closing,
    moved_in,
    moved_out,
    difference,
    difference_usd,
    rounding,
    event_count,
    undecoded_count,
    opening_block,
    closing_block,
    is_book,
    day
from verdicts
