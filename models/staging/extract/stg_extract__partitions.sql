with ledger as (
    select * from {{ ref('stg_extract__ledger') }}
)

select
    partition_id,
    load_id,
    committed_at
from ledger
where status = 'complete'
qualify row_number() over (partition by partition_id order by committed_at desc, load_id desc) = 1
