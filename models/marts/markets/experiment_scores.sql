with slices as (
    select * from {{ ref('int_forecast_slices') }}
),

results as (
    select * from {{ ref('int_experiment_results') }}
),

resolutions as (
    select * from {{ ref('market_resolutions') }}
    where resolution_status = 'resolved'
),

intervals as (
    select
        *,
        concat_ws(' ', experiment, experiment_version, horizon_kind, horizon) as slice_key
    from {{ ref('market_score_intervals') }}
),

horizons as (
    select * from {{ ref('score_horizons') }}
),

bins as (
    select
        slice_key,
        bin,
        count(*) as n,
        avg(probability order by probability) as mean_probability,
        sum(label) as happened_count
    from slices
    group by slice_key, bin
),

decomposed as (
    select
        slice_key,
        sum(n * pow(mean_probability - happened_share, 2) order by bin) / sum(n) as reliability,
        sum(n * pow(happened_share - base_rate, 2) order by bin) / sum(n) as resolution
    from (
        select
            *,
            happened_count / n as happened_share,
            sum(happened_count) over (partition by slice_key) / sum(n) over (partition by slice_key) as base_rate
        from bins
    ) as based
    group by slice_key
),

-- each market counts once, its forecasts by how long each of them stood
weighted as (
    select
        slice_key,
        avg(market_mean order by market_mean) as time_weighted_brier
    from (
        select
            slice_key,
            market_id,
            sum(brier * stood_seconds order by snapshot_at, run_id) / sum(stood_seconds) as market_mean
        from slices
        group by slice_key, market_id
    ) as markets
    group by slice_key
),

forecasts as (
    select
        slice_key,
        experiment,
        experiment_version,
        horizon_kind,
        horizon,
        count(*) as forecast_count,
        count(distinct market_id) as market_count,
        count(distinct event_cluster) as event_count,
        count(market_brier) as paired_count,
        count(*) filter (where is_undated) as undated_count,
        avg(brier order by brier) as brier,
        avg(log_loss order by log_loss) as log_score,
        avg(label) as base_rate,
        avg(brier order by brier) filter (where market_brier is not null) as paired_brier,
        avg(market_brier order by market_brier) as market_brier
    from slices
    group by all
),

-- results of any kind where the end is known
ended as (
    select
        results.*,
        case
            when (results.stake_side = 'yes') = (
                coalesce(resolutions.winning_token_id = results.first_token_id, resolutions.label = 1)
            )
                then 1 / results.stake_price
            else 0
        end as paid_back
    from results
    inner join resolutions on results.market_id = resolutions.market_id
    where results.snapshot_at < resolutions.ended_at
),

asked as (
    select
        experiment,
        experiment_version,
        concat_ws(' ', experiment, experiment_version, 'all', 'all') as slice_key,
        count(*) as resolved_count,
        count(*) filter (where result_kind = 'skip') as skip_count,
        count(*) filter (where result_kind = 'stake') as stake_count,
        avg(log_growth order by log_growth) filter (where result_kind = 'stake') as mean_log_growth
    from (
        select
            *,
            ln(1 + stake_fraction * (paid_back - 1)) as log_growth
        from ended
    ) as paid
    group by experiment, experiment_version
),

-- an experiment that only stakes or skips has no slice of forecasts
wanted as (
    select
        coalesce(forecasts.slice_key, asked.slice_key) as slice_key,
        coalesce(forecasts.experiment, asked.experiment) as experiment,
        coalesce(forecasts.experiment_version, asked.experiment_version) as experiment_version,
        coalesce(forecasts.horizon_kind, 'all') as horizon_kind,
        coalesce(forecasts.horizon, 'all') as horizon,
        coalesce(forecasts.forecast_count, 0) as forecast_count,
        coalesce(forecasts.market_count, 0) as market_count,
        coalesce(forecasts.event_count, 0) as event_count,
        coalesce(forecasts.paired_count, 0) as paired_count,
        coalesce(forecasts.undated_count, 0) as undated_count,
        forecasts.brier,
        forecasts.log_score,
        forecasts.base_rate,
        forecasts.paired_brier,
        forecasts.market_brier,
        asked.resolved_count,
        asked.skip_count,
        coalesce(asked.stake_count, 0) as stake_count,
        asked.mean_log_growth,
        coalesce(forecasts.forecast_count, 0) >= {{ threshold('score_least_count') }} as is_shown,
        coalesce(forecasts.paired_count, 0) >= {{ threshold('score_least_count') }} as is_compared,
        coalesce(asked.stake_count, 0) >= {{ threshold('score_least_count') }} as is_growth_shown
    from forecasts
    full outer join asked on forecasts.slice_key = asked.slice_key
)

select
    wanted.experiment,
    wanted.experiment_version,
    wanted.horizon_kind,
    wanted.horizon,
    case
        when not wanted.is_compared or wanted.experiment = 'market_price' then 'not_judged'
        else coalesce(intervals.verdict, 'not_judged')
    end as verdict,
    intervals.interval_reason,
    coalesce(horizons.position, 0) as horizon_position,
    wanted.forecast_count,
    wanted.market_count,
    wanted.event_count,
    wanted.paired_count,
    wanted.undated_count,
    wanted.resolved_count,
    wanted.skip_count,
    case when wanted.is_shown then wanted.base_rate end as base_rate,
    case when wanted.is_shown then wanted.brier end as brier,
    case when wanted.is_shown then intervals.brier_low end as brier_low,
    case when wanted.is_shown then intervals.brier_high end as brier_high,
    case when wanted.is_shown then wanted.log_score end as log_score,
    case when wanted.is_shown then decomposed.reliability end as reliability,
    case when wanted.is_shown then decomposed.resolution end as resolution,
    case when wanted.is_shown then wanted.base_rate * (1 - wanted.base_rate) end as uncertainty,
    case when wanted.is_shown then weighted.time_weighted_brier end as time_weighted_brier,
    case when wanted.is_compared then wanted.market_brier end as market_brier,
    case when wanted.is_compared then 1 - wanted.paired_brier / nullif(wanted.market_brier, 0) end as skill_share,
    case when wanted.is_compared then wanted.paired_brier - wanted.market_brier end as brier_difference,
    case when wanted.is_compared then intervals.difference_low end as difference_low,
    case when wanted.is_compared then intervals.difference_high end as difference_high,
    case when wanted.is_compared then intervals.better_p_value end as better_p_value,
    case when wanted.is_compared then intervals.worse_p_value end as worse_p_value,
    case when wanted.is_compared then intervals.happened_count end as happened_count,
    case when wanted.is_compared then intervals.comparison_count end as comparison_count,
    wanted.stake_count,
    case when wanted.is_growth_shown then wanted.mean_log_growth end as mean_log_growth,
    wanted.is_shown
from wanted
left join decomposed on wanted.slice_key = decomposed.slice_key
left join weighted on wanted.slice_key = weighted.slice_key
left join intervals on wanted.slice_key = intervals.slice_key
left join horizons on wanted.horizon = horizons.horizon
