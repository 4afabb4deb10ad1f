{{ config(severity = 'warn') }}
-- Few gauges, or few with rewards, usually mean that a view changed or a provider answered with holes.
-- A warning, because small exchanges exist.
select
    protocol,
    epoch,
    decision_window,
    gauge_count,
    rewarded_share
from {{ ref('preboundary_snapshot_coverage') }}
where
    gauge_count < {{ threshold('min_gauges') }}
    or rewarded_share < {{ threshold('min_rewarded_share') }}
