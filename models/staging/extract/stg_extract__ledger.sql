with records as (
    select * from {{ source('raw', '_dlt_loads') }}
    where status = 0
),

-- a compacted load stands for others, whose files may still be there
replaced as (
    select unnest(replaces) as load_id
    from records
    where replaces is not null
),

loads as (
    select records.*
    from records
    left join replaced on records.load_id = replaced.load_id
    where replaced.load_id is null
),

store as (
    select * from {{ source('raw', '_store') }}
),

ledger as (
    select
        *,
        {{ load_id('filename') }} as load_id
    from {{ source('raw', 'extract_ledger') }}
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
    ledger.fingerprint,
    ledger.chain_id,
    ledger.from_block,
    ledger.to_block,
    ledger.to_block_hash,
    ledger.attempts,
    ledger.rows as row_count,
    ledger.calls as call_count,
    ledger.bytes as byte_count,
    store.is_simulated,
    ledger.started_at,
    ledger.finished_at,
    coalesce(ledger.committed_at, loads.inserted_at) as committed_at
from ledger
inner join loads on ledger.load_id = loads.load_id
cross join store
