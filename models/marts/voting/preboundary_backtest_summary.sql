with results as (
    select * from {{ ref('preboundary_backtest_results') }}
),

statistics as (
    select * from {{ ref('backtest_statistics') }}
),

decision_windows as (
    select * from {{ ref('decision_windows') }}
),

summed as (
    select
        protocol,
        voter_id,
        decision_window,
        strategy,
        strategy_kind,
        count(*) as epoch_count,
        count(*) filter (where outcome = 'ok') as voted_count,
        count(realised_usd) as outcome_count,
        avg(expected_usd order by expected_usd) as mean_expected_usd,
        avg(realised_usd order by realised_usd) as mean_realised_usd,
        median(realised_usd) as median_realised_usd,
        quantile_cont(realised_usd, 0.1) as p10_realised_usd,
        avg(regret_usd order by regret_usd) as mean_regret_usd,
        avg(hindsight_share order by hindsight_share) as mean_hindsight_share,
        median(hindsight_share) as median_hindsight_share,
        quantile_cont(hindsight_share, 0.1) as p10_hindsight_share,
        avg(profile_hindsight_share order by profile_hindsight_share) as mean_profile_hindsight_share,
        avg(case when is_covered then 1.0 when not is_covered then 0.0 end) as scenario_coverage_share,
        avg(turnover_share order by turnover_share) as mean_turnover_share,
        avg(gauges_used) as mean_gauges_used,
        avg(submissions) as mean_submissions,
        max(optimality_gap) as worst_optimality_gap,
        max(unlabelled_share) as worst_unlabelled_share,
        bool_and(is_votable) as is_votable
    from results
    group by all
),

-- how much more of hindsight ours earned than each baseline
gains as (
    select
        protocol,
        voter_id,
        decision_window,
        baseline as strategy,
        max(value) filter (where metric = 'mean_share_gain') as mean_gain_share,
        max(low) filter (where metric = 'mean_share_gain') as gain_low_share,
        max(high) filter (where metric = 'mean_share_gain') as gain_high_share,
        max(value) filter (where metric = 'win_share') as win_share
    from statistics
    where metric in ('mean_share_gain', 'win_share')
    group by all
),

verdicts as (
    select
        protocol,
        voter_id,
        decision_window,
        count(*) filter (where metric = 'criterion' and passed) as criteria_passed,
        count(*) filter (where metric = 'criterion' and not passed) as criteria_failed,
        count(*) filter (where metric = 'criterion' and passed is null) as criteria_open,
        max(p_value) filter (where metric = 'snooping') as snooping_p_value
    from statistics
    group by all
)

select
    summed.protocol,
    summed.voter_id,
    summed.decision_window,
    summed.strategy,
    summed.strategy_kind,
    case
        when summed.strategy <> 'foreshore' or verdicts.criteria_passed is null then 'not_judged'
        when verdicts.criteria_failed > 0 then 'fail'
        when verdicts.criteria_open > 0 then 'open'
        when verdicts.criteria_passed > 0 then 'pass'
        else 'not_judged'
    end as acceptance,
    coalesce(decision_windows.position, 9) as window_position,
    summed.epoch_count,
    summed.voted_count,
    summed.outcome_count,
    summed.mean_expected_usd,
    summed.mean_realised_usd,
    summed.median_realised_usd,
    summed.p10_realised_usd,
    summed.mean_regret_usd,
    summed.mean_hindsight_share,
    summed.median_hindsight_share,
    summed.p10_hindsight_share,
    summed.mean_profile_hindsight_share,
    gains.mean_gain_share,
    gains.gain_low_share,
    gains.gain_high_share,
    gains.win_share,
    case when summed.strategy = 'foreshore' then verdicts.snooping_p_value end as snooping_p_value,
    case when summed.strategy = 'foreshore' then verdicts.criteria_passed end as criteria_passed,
    case when summed.strategy = 'foreshore' then verdicts.criteria_failed end as criteria_failed,
    case when summed.strategy = 'foreshore' then verdicts.criteria_open end as criteria_open,
    summed.scenario_coverage_share,
    summed.mean_turnover_share,
    summed.mean_gauges_used,
    summed.mean_submissions,
    summed.worst_optimality_gap,
    summed.worst_unlabelled_share,
    summed.is_votable
from summed
left join decision_windows on summed.decision_window = decision_windows.decision_window
left join gains
    on
        summed.protocol = gains.protocol
        and summed.voter_id = gains.voter_id
        and summed.decision_window = gains.decision_window
        and summed.strategy = gains.strategy
left join verdicts
    on
        summed.protocol = verdicts.protocol
        and summed.voter_id = verdicts.voter_id
        and summed.decision_window = verdicts.decision_window
