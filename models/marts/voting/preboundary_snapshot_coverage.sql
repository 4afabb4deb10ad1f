with snapshots as (
    select * from {{ ref('preboundary_snapshots') }}
),

labels as (
    select * from {{ ref('preboundary_truth_labels') }}
),

decision_points as (
    select * from {{ ref('decision_points') }}
),

truth_counts as (
    select
        protocol,
        epoch,
        count(*) as truth_gauge_count
    from labels
    group by all
),

window_counts as (
    select
        snapshots.protocol,
        snapshots.epoch,
        snapshots.decision_window,
        count(*) as gauge_count,
        count(labels.gauge_address) as covered_count,
        count(*) filter (where snapshots.reward_count > 0) as rewarded_count,
        count(*) filter (where snapshots.is_eligible) as eligible_count,
        count(*) filter (where snapshots.unpriced_count > 0) as unpriced_gauge_count,
        count(*) filter (where snapshots.is_votes_confirmed) as confirmed_count,
        count(*) filter (where snapshots.is_votes_confirmed = false) as mismatch_count,
        -- in one order: two builds of the same rows differed in the last digit
        avg(snapshots.data_quality_score order by snapshots.gauge_address) as mean_quality_score
    from snapshots
    left join labels
        on
            snapshots.protocol = labels.protocol
            and snapshots.epoch = labels.epoch
            and snapshots.gauge_address = labels.gauge_address
    group by all
)

select
    decision_points.protocol,
    decision_points.chain_id,
    decision_points.epoch,
    decision_points.decision_window,
    decision_points.is_control,
    coalesce(window_counts.gauge_count, 0) as gauge_count,
    truth_counts.truth_gauge_count,
    coalesce(window_counts.covered_count, 0) as covered_count,
    coalesce(window_counts.rewarded_count, 0) as rewarded_count,
    coalesce(window_counts.eligible_count, 0) as eligible_count,
    coalesce(window_counts.unpriced_gauge_count, 0) as unpriced_gauge_count,
    coalesce(window_counts.confirmed_count, 0) as confirmed_count,
    coalesce(window_counts.mismatch_count, 0) as mismatch_count,
    coalesce(window_counts.covered_count, 0)::double / truth_counts.truth_gauge_count as coverage_share,
    coalesce(window_counts.rewarded_count, 0)::double / nullif(window_counts.gauge_count, 0) as rewarded_share,
    window_counts.mean_quality_score,
    decision_points.decision_at
from decision_points
left join window_counts
    on
        decision_points.protocol = window_counts.protocol
        and decision_points.epoch = window_counts.epoch
        and decision_points.decision_window = window_counts.decision_window
left join truth_counts
    on decision_points.protocol = truth_counts.protocol and decision_points.epoch = truth_counts.epoch
