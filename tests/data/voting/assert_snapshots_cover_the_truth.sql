-- A snapshot that misses gauges of the truth hides candidates: below `min_coverage_share` the build fails.
-- Open epochs have no truth yet. A gauge created after a window is missing there rightly; 20 % is room for it.
select
    protocol,
    epoch,
    decision_window,
    gauge_count,
    truth_gauge_count,
    coverage_share
from {{ ref('preboundary_snapshot_coverage') }}
where coverage_share < {{ threshold('min_coverage_share') }}
