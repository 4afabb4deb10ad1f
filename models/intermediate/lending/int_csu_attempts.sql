-- What became of each CSU and day by kind of partition: the newest attempt, and whether any was ever complete.
with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
    where source = 'lending' and table_group in ('snapshot', 'liquidations', 'prices')
)

select
    partition_key as csu_id,
    table_group,
    bool_or(status = 'complete') as is_extracted,
    max_by(status, committed_at) as newest_status,
    max_by(error_message, committed_at) filter (where status = 'failed') as failure_reason,
    max_by(from_block, committed_at) filter (where status = 'complete') as from_block,
    max_by(to_block, committed_at) filter (where status = 'complete') as to_block,
    partition_window::date as day
from ledger
group by all
