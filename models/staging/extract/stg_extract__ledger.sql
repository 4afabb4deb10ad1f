with records as (
    select * from {{ source('raw', '_dlt_loads') }}
),

-- a compacted load stands for others, whose files may still be there
loads as (
    select * from records
    where
        status = 0
        and load_id not in (select unnest(replaces) from records where status = 0 and replaces is not null)
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
