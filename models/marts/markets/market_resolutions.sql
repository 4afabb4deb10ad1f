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

-- the newest that says something; where none does, the newest
newest as (
    select
        *,
        count(*) over (partition by market_id) as answer_count,
        count(*) filter (where status = 'refused') over (partition by market_id) as refused_count
    from answers
    qualify row_number() over (partition by market_id order by status = 'refused', observed_at desc) = 1
),

asked as (
    select
        market_id,
        max(observed_at) as last_asked_at
    from answers
    group by market_id
),

standing as (
    select * from {{ ref('market_endings') }}
    where is_standing and resolution_status in ('resolved', 'void')
),

endings as (
    select
        market_id,
        count(*) filter (where resolution_status in ('resolved', 'void')) as ending_count
    from {{ ref('market_endings') }}
    group by market_id
)

select
    coalesce(markets.market_id, newest.market_id) as market_id,
    coalesce(markets.condition_id, newest.condition_id) as condition_id,
    markets.event_id,
    markets.question,
    coalesce(newest.status, 'undetermined') as resolution_status,
    coalesce(newest.reason, 'not_asked') as resolution_reason,
    newest.winning_outcome,
    newest.winning_token_id,
    newest.uma_status,
    case
        when coalesce(newest.status, 'undetermined') not in ('resolved', 'void') then null
        when newest.resolved_at is null or newest.resolved_at > standing.known_at then 'known'
        when newest.closed_at is null then 'oracle'
        else 'closed'
    end as end_time_kind,
    newest.label,
    coalesce(newest.answer_count, 0) as answer_count,
    coalesce(newest.refused_count, 0) as refused_count,
    coalesce(endings.ending_count, 0) as ending_count,
    coalesce(markets.end_at, newest.end_at) as end_at,
    newest.resolved_at,
    case
        when newest.status in ('resolved', 'void')
            then least(coalesce(newest.resolved_at, standing.known_at), standing.known_at)
    end as ended_at,
    standing.known_at,
    asked.last_asked_at
from markets
full join newest on markets.market_id = newest.market_id
left join asked on newest.market_id = asked.market_id
left join standing on newest.market_id = standing.market_id
left join endings on newest.market_id = endings.market_id
