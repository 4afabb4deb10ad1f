with source as (
    {{ newest_committed('lending_flows') }}
)

select
    csu_id,
    chain_id,
    reserve_id,
    asset_address,
    measure,
    opening_raw,
    closing_raw,
    moved_in_raw,
    moved_out_raw,
    difference_raw,
    rounding_raw,
    event_count,
    undecoded_count,
    opening_block,
    closing_block,
    is_book,
    day
from source
