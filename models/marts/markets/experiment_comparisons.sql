with comparisons as (
    select * from {{ ref('market_comparisons') }}
)

select
    experiment,
    experiment_version,
    reference,
    reference_version,
    family,
    verdict,
    reason,
    paired_count,
    event_count,
    comparison_count,
    brier,
    reference_brier,
    difference,
    standard_error,
    difference_low,
    difference_high,
    p_value,
    p_adjusted,
    detectable_difference,
    more_forecasts
from comparisons
