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
    p10,
    p25,
    p50,
    p75,
    p90,
    gauge_epochs,
    cluster_epochs,
    sample_rows,
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
