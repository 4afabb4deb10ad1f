with results as (
    select * from {{ ref('vote_backtest') }}
    where is_replayed
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    strategy,
    kind as strategy_kind,
    outcome,
    voting_power,
    expected_usd,
    conservative_usd,
    aggressive_usd,
    realised_usd,
    hindsight_usd,
    hindsight_usd - realised_usd as regret_usd,
    case when hindsight_usd > 0 then realised_usd / hindsight_usd end as hindsight_share,
    profile_hindsight_usd,
    case when profile_hindsight_usd > 0 then realised_usd / profile_hindsight_usd end as profile_hindsight_share,
    turnover_share,
    gauges_used,
    submissions,
    optimality_gap,
    unlabelled_share,
    is_votable,
    is_covered,
    decision_at
from results
