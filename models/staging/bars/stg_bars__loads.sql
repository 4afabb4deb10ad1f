with source as (
    select
        *,
        {{ load_id('filename') }} as load_id
    from {{ source('raw', 'bars') }}
),

loads as (
    select * from {{ ref('stg_extract__ledger') }}
    where status = 'complete'
)

select
    source.provider,
    source.feed,
    source.symbol,
    source.timeframe,
    source.position as row_position,
    round(source.open, 6) as open,
    round(source.high, 6) as high,
    round(source.low, 6) as low,
    round(source.close, 6) as close,
    source.volume,
    source.bar_at,
    source.fetched_at
from source
inner join loads on source.partition_id = loads.partition_id and source.load_id = loads.load_id
