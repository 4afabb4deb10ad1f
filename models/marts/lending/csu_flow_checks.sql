with verdicts as (
    select * from {{ ref('int_csu_flow_verdicts') }}
),

names as (
    select * from {{ ref('int_csu_names') }}
)

select
    verdicts.csu_id,
    names.csu_name,
    verdicts.chain_id,
    verdicts.reserve_id,
    verdicts.asset_address,
    verdicts.asset_symbol,
    verdicts.measure,
    verdicts.flow_verdict,
    verdicts.price_verdict,
    verdicts.opening_raw,
    verdicts.closing_raw,
    verdicts.moved_in_raw,
    verdicts.moved_out_raw,
    verdicts.difference_raw,
    verdicts.opening,
    verdicts.closing,
    verdicts.moved_in,
    verdicts.moved_out,
    verdicts.difference,
    verdicts.difference_usd,
    verdicts.rounding,
    verdicts.event_count,
    verdicts.undecoded_count,
    verdicts.opening_block,
    verdicts.closing_block,
    verdicts.is_book,
    verdicts.day
from verdicts
left join names on verdicts.csu_id = names.csu_id
