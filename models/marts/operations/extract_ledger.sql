with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
),

partitions as (
    select * from {{ ref('stg_extract__partitions') }}
)

select
    ledger.partition_id,
    ledger.load_id,
    ledger.run_id,
    ledger.source,
    ledger.table_group,
    ledger.partition_key,
    ledger.partition_window,
    ledger.status,
    ledger.provider,
    ledger.error_class,
    ledger.error_message,
    ledger.chain_id,
    ledger.from_block,
    ledger.to_block,
    ledger.attempts,
    ledger.row_count,
    ledger.call_count,
    ledger.byte_count,
    coalesce(ledger.load_id = partitions.load_id, false) as is_current,
    ledger.is_simulated,
    ledger.started_at,
    ledger.finished_at,
    ledger.committed_at
from ledger
left join partitions on ledger.partition_id = partitions.partition_id
