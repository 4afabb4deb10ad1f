with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
)

-- a partition whose newest load was damaged counts as never fetched, whatever was complete before
select
    partition_id,
    load_id,
    committed_at
from ledger
where status in ('complete', 'damaged')
qualify
    row_number() over (partition by partition_id order by committed_at desc, load_id desc) = 1
    and status = 'complete'
