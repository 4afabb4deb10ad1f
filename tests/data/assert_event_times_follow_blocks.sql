-- Block times follow block numbers, whoever said them: logs, headers of windows and of flips are one line of time per
-- chain. A log stamped in milliseconds, with zero or by another hour stands out of it, and so does one that would come
-- before a decision by its block and after it by its time.
with moments as (
    select
        chain_id,
        block_number,
        block_at,
        'event' as said_by
    from {{ ref('stg_voting__events') }}
    union
    select
        chain_id,
        decision_block,
        decision_at,
        'decision'
    from {{ ref('stg_voting__windows') }}
    union
    select
        chain_id,
        observed_block,
        observed_at,
        'observed'
    from {{ ref('stg_voting__windows') }}
),

ordered as (
    select
        chain_id,
        block_number,
        block_at,
        said_by,
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
