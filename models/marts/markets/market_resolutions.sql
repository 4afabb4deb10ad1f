with markets as (
    select
        market_id,
        max_by(condition_id, observed_at) as condition_id,
        max_by(event_id, observed_at) as event_id,
        max_by(question, observed_at) as question,
        max_by(end_at, observed_at) as end_at
    from {{ ref('stg_polymarket__markets') }}
    group by market_id
),

answers as (
    select * from {{ ref('stg_polymarket__resolutions') }}
),

newest as (
    select
        *,
        count(*) over (partition by market_id) as answer_count
    from answers
    qualify row_number() over (partition by market_id order by observed_at desc) = 1
),

known as (
    select
        answers.market_id,
        min(answers.observed_at) as known_at
    from answers
    inner join newest on answers.market_id = newest.market_id
    where
        newest.status <> 'undetermined'
        and answers.status = newest.status
        and answers.label is not distinct from newest.label
    group by answers.market_id
)

select
    coalesce(markets.market_id, newest.market_id) as market_id,
    coalesce(markets.condition_id, newest.condition_id) as condition_id,
    markets.event_id,
    markets.question,
    coalesce(newest.status, 'undetermined') as resolution_status,
    coalesce(newest.reason, 'not_asked') as resolution_reason,
    newest.winning_outcome,
    newest.uma_status,
    newest.label,
    coalesce(newest.answer_count, 0) as answer_count,
    coalesce(newest.end_at, markets.end_at) as end_at,
    newest.resolved_at,
    known.known_at,
    newest.observed_at as last_asked_at
from markets
full join newest on markets.market_id = newest.market_id
left join known on newest.market_id = known.market_id
