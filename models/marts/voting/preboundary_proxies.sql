with quantiles as (
    select * from {{ ref('forecast_quantiles') }}
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    gauge_address,
    measure,
    level as history_level,
    candidate,
    cluster,
    -- epochs, not gauges, are independent: quantiles of too few are no interval, and only the median is shown
    case when sample_epochs >= {{ threshold('min_interval_epochs') }} then p10 end as p10,
    case when sample_epochs >= {{ threshold('min_interval_epochs') }} then p25 end as p25,
    p50,
    case when sample_epochs >= {{ threshold('min_interval_epochs') }} then p75 end as p75,
    case when sample_epochs >= {{ threshold('min_interval_epochs') }} then p90 end as p90,
    gauge_epochs,
    cluster_epochs,
    sample_rows,
    sample_epochs,
    calibration_rows,
    own_share,
    cluster_share,
    penalty_sparse_history,
    penalty_high_variance,
    penalty_stale_price,
    confidence as history_confidence,
    decision_at,
    trained_until
from quantiles
