with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
)

select
    source,
    table_group,
    count(distinct partition_id) filter (where status = 'complete') as complete_count,
    count(distinct partition_id) filter (where status = 'failed') as ever_failed_count,
    max(to_block) filter (where status = 'complete') as newest_block,
    max(finished_at) filter (where status = 'complete') as newest_fetch_at,
    max(committed_at) as newest_commit_at
from ledger
group by source, table_group
