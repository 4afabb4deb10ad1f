with quantiles as (
    select * from {{ ref('forecast_quantiles') }}
),

gauges as (
    select * from {{ ref('gauges') }}
)

select
    quantiles.protocol,
    quantiles.voter_id,
    quantiles.epoch,
    quantiles.decision_window,
    quantiles.gauge_address,
    gauges.gauge_name,
    quantiles.measure,
    quantiles.level as history_level,
    quantiles.candidate,
    quantiles.cluster,
    -- epochs, not gauges, are independent: quantiles of too few are no interval, and only the median is shown
    case when quantiles.sample_epochs >= {{ threshold('min_interval_epochs') }} then quantiles.p10 end as p10,
    case when quantiles.sample_epochs >= {{ threshold('min_interval_epochs') }} then quantiles.p25 end as p25,
    quantiles.p50,
    case when quantiles.sample_epochs >= {{ threshold('min_interval_epochs') }} then quantiles.p75 end as p75,
    case when quantiles.sample_epochs >= {{ threshold('min_interval_epochs') }} then quantiles.p90 end as p90,
    quantiles.gauge_epochs,
    quantiles.cluster_epochs,
    quantiles.sample_rows,
    quantiles.sample_epochs,
    quantiles.calibration_rows,
    quantiles.own_share,
    quantiles.cluster_share,
    quantiles.penalty_sparse_history,
    quantiles.penalty_high_variance,
    quantiles.penalty_stale_price,
    quantiles.confidence as history_confidence,
    quantiles.decision_at,
    quantiles.trained_until
from quantiles
left join gauges on quantiles.protocol = gauges.protocol and quantiles.gauge_address = gauges.gauge_address
