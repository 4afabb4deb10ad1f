with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
),

partitions as (
    select * from {{ ref('stg_extract__partitions') }}
)

select
    ledger.chain_id,
    cast(split_part(ledger.partition_key, '/', 2) as bigint) as epoch,
    ledger.from_block,
    ledger.to_block
from ledger
inner join partitions on ledger.partition_id = partitions.partition_id and ledger.load_id = partitions.load_id
where ledger.source = 'voting' and ledger.table_group = 'events'
