with answers as (
    select * from {{ ref('stg_polymarket__resolutions') }}
    -- about another market, or not readable: it says nothing, so what was said before stands
    where status <> 'refused'
),

compared as (
    select
        *,
        lag(status) over (partition by market_id order by observed_at) as status_before,
        lag(label) over (partition by market_id order by observed_at) as label_before
    from answers
),

-- an answer stands from the first time it is given to the next other one
changed as (
    select *
    from compared
    where
        status is distinct from coalesce(status_before, 'undetermined')
        or (status = 'resolved' and label is distinct from label_before)
)

select
    market_id,
    status as resolution_status,
    reason as resolution_reason,
    winning_outcome,
    winning_token_id,
    label,
    row_number() over (partition by market_id order by observed_at) as answer_number,
    lead(observed_at) over (partition by market_id order by observed_at) is null as is_standing,
    resolved_at,
    observed_at as known_at,
    lead(observed_at) over (partition by market_id order by observed_at) as superseded_at
from changed
