with gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
),

pools as (
    select * from {{ ref('stg_voting__pools') }}
),

names as (
    select
        protocol,
        gauge_address,
        max_by(coalesce(token0_symbol || '/' || token1_symbol, pool_symbol), observed_block) as pool_name
    from pools
    group by protocol, gauge_address
),

newest as (
    select
        protocol,
        chain_id,
        gauge_address,
        max_by(pool_address, observed_block) as pool_address,
        max_by(is_alive, observed_block) as is_alive,
        count(distinct epoch) as epoch_count,
        min(observed_block) as first_observed_block,
        max(observed_block) as last_observed_block,
        min(observed_at) as first_observed_at,
        max(observed_at) as last_observed_at
    from gauge_windows
    group by protocol, chain_id, gauge_address
)

select
    newest.protocol,
    newest.chain_id,
    newest.gauge_address,
    newest.pool_address,
    names.pool_name,
    coalesce(names.pool_name || ' · ', '') || left(newest.gauge_address, 4) || '…' || right(newest.gauge_address, 2)
        as gauge_name,
    newest.is_alive,
    newest.epoch_count,
    newest.first_observed_block,
    newest.last_observed_block,
    newest.first_observed_at,
    newest.last_observed_at
from newest
left join names
    on newest.protocol = names.protocol and newest.gauge_address = names.gauge_address
