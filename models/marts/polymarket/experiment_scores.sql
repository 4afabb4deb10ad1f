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
    select * from {{ ref('market_score_intervals') }}
),

horizons as (
    select * from {{ ref('score_horizons') }}
),

bins as (
    select
        experiment,
        experiment_version,
        horizon_kind,
        horizon,
        bin,
        count(*) as n,
        avg(probability) as mean_probability,
        avg(label) as happened_share
    from slices
    group by all
),

rates as (
    select
        experiment,
        experiment_version,
        horizon_kind,
        horizon,
        avg(label) as base_rate
    from slices
    group by all
),

decomposed as (
    select
        bins.experiment,
        bins.experiment_version,
        bins.horizon_kind,
        bins.horizon,
        sum(bins.n * pow(bins.mean_probability - bins.happened_share, 2)) / sum(bins.n) as reliability,
        sum(bins.n * pow(bins.happened_share - rates.base_rate, 2)) / sum(bins.n) as resolution
    from bins
    inner join rates using (experiment, experiment_version, horizon_kind, horizon)
    group by all
),

-- each market counts once, its forecasts by how long each of them stood
weighted as (
    select
        experiment,
        experiment_version,
        horizon_kind,
        horizon,
        avg(market_mean) as time_weighted_brier
    from (
        select
            experiment,
            experiment_version,
            horizon_kind,
            horizon,
            market_id,
            sum(brier * stood_seconds) / sum(stood_seconds) as market_mean
        from slices
        group by all
    )
    group by all
),

forecasts as (
    select
        experiment,
        experiment_version,
        horizon_kind,
        horizon,
        count(*) as forecast_count,
        count(distinct market_id) as market_count,
        count(distinct event_cluster) as forecasts_events,
        count(market_brier) as paired_count,
        avg(brier) as brier,
        avg(log_loss) as log_score,
        avg(label) as base_rate,
        avg(brier) filter (where market_brier is not null) as paired_brier,
        avg(market_brier) as market_brier
    from slices
    group by all
),

stakes as (
    select
        results.experiment,
        results.experiment_version,
        count(*) as stake_count,
        avg(ln(
            1 + results.stake_fraction
            * (case when (results.stake_side = 'yes') = (resolutions.label = 1) then 1 / results.stake_price else 0 end - 1)
        )) as mean_log_growth
    from results
    inner join resolutions on results.market_id = resolutions.market_id and results.snapshot_at < resolutions.resolved_at
    where results.result_kind = 'stake'
    group by all
),

-- what was asked of it where the end is known: what it forecast of that is its coverage
asked as (
    select
        results.experiment,
        results.experiment_version,
        count(*) as resolved_count,
        count(*) filter (where results.result_kind = 'skip') as skip_count
    from results
    inner join resolutions on results.market_id = resolutions.market_id and results.snapshot_at < resolutions.resolved_at
    group by all
),

rows_wanted as (
    select
        experiment,
        experiment_version,
        horizon_kind,
        horizon
    from forecasts
    union
    select
        experiment,
        experiment_version,
        'all' as horizon_kind,
        'all' as horizon
    from asked
),

joined as (
    select
        *,
        coalesce(forecast_count, 0) >= {{ threshold('score_least_count') }} as is_shown,
        coalesce(paired_count, 0) >= {{ threshold('score_least_count') }} as is_compared
    from rows_wanted
    left join forecasts using (experiment, experiment_version, horizon_kind, horizon)
    left join decomposed using (experiment, experiment_version, horizon_kind, horizon)
    left join weighted using (experiment, experiment_version, horizon_kind, horizon)
    left join intervals using (experiment, experiment_version, horizon_kind, horizon)
    left join asked using (experiment, experiment_version)
    left join stakes using (experiment, experiment_version)
    left join horizons using (horizon)
)

select
    experiment,
    experiment_version,
    horizon_kind,
    horizon,
    case
        when not is_compared or experiment = 'market_price' then 'not_judged'
        when difference_high < 0 then 'better'
        when difference_low > 0 then 'worse'
        when difference_low is null then 'not_judged'
        else 'undecided'
    end as verdict,
    interval_reason,
    coalesce(position, 0) as horizon_position,
    coalesce(forecast_count, 0) as forecast_count,
    coalesce(market_count, 0) as market_count,
    coalesce(forecasts_events, 0) as event_count,
    coalesce(paired_count, 0) as paired_count,
    resolved_count,
    skip_count,
    case when is_shown then base_rate end as base_rate,
    case when is_shown then brier end as brier,
    case when is_shown then brier_low end as brier_low,
    case when is_shown then brier_high end as brier_high,
    case when is_shown then log_score end as log_score,
    case when is_shown then reliability end as reliability,
    case when is_shown then resolution end as resolution,
    case when is_shown then base_rate * (1 - base_rate) end as uncertainty,
    case when is_shown then time_weighted_brier end as time_weighted_brier,
    case when is_compared then market_brier end as market_brier,
    case when is_compared then 1 - paired_brier / nullif(market_brier, 0) end as skill_share,
    case when is_compared then paired_brier - market_brier end as brier_difference,
    case when is_compared then difference_low end as difference_low,
    case when is_compared then difference_high end as difference_high,
    case when horizon_kind = 'all' then coalesce(stake_count, 0) else 0 end as stake_count,
    case when horizon_kind = 'all' and stake_count >= {{ threshold('score_least_count') }} then mean_log_growth end as mean_log_growth,
    is_shown
from joined
