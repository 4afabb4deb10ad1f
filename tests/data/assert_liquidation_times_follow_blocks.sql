-- Block times of liquidations follow block numbers and lie within their day's window, as the day's headers say.
with moments as (
    select
        chain_id,
        block_number,
        block_at
    from {{ ref('stg_lending__liquidations') }}
    union
    select
        chain_id,
        last_block,
        last_block_at
    from {{ ref('stg_lending__days') }}
),

ordered as (
    select
        chain_id,
        block_number,
        block_at,
        lag(block_number) over (partition by chain_id order by block_number, block_at) as previous_block,
        lag(block_at) over (partition by chain_id order by block_number, block_at) as previous_at,
        max(block_at) over (
            partition by chain_id order by block_number, block_at rows between unbounded preceding and 1 preceding
        ) as latest_before_at
    from moments
)

select *
from ordered
where
    block_at < latest_before_at
    or (block_number = previous_block and block_at != previous_at)
