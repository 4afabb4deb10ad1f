with scored as (
    select * from {{ ref('int_forecasts_scored') }}
    where not is_foreknown
),

binned as (
    select
        experiment,
        experiment_version,
        bin,
        count(*) as forecast_count,
        sum(label) as happened_count,
        avg(probability order by probability) as mean_probability,
        avg(label) as happened_share,
        sum(count(*)) over (partition by experiment, experiment_version) as experiment_count
    from scored
    group by experiment, experiment_version, bin
),

banded as (
    select
        *,
        {{ threshold('calibration_z') }} as z,
        experiment_count >= {{ threshold('score_least_count') }} as is_shown
    from binned
)

select
    experiment,
    experiment_version,
    bin,
    forecast_count,
    bin / {{ threshold('score_bins') }} as bin_low,
    (bin + 1) / {{ threshold('score_bins') }} as bin_high,
    case when is_shown then mean_probability end as mean_probability,
    case when is_shown then happened_share end as happened_share,
    case
        when is_shown
            then greatest(0, (happened_share + z * z / (2 * forecast_count) - z * sqrt(
                happened_share * (1 - happened_share) / forecast_count + z * z / (4 * forecast_count * forecast_count)
            )) / (1 + z * z / forecast_count))
    end as happened_low,
    case
        when is_shown
            then least(1, (happened_share + z * z / (2 * forecast_count) + z * sqrt(
                happened_share * (1 - happened_share) / forecast_count + z * z / (4 * forecast_count * forecast_count)
            )) / (1 + z * z / forecast_count))
    end as happened_high,
    is_shown
from banded
