-- 1. Were the inputs whole? Votes on gauges with poor data or without a known truth, worst first.
select
    results.protocol,
    results.voter_id,
    results.epoch,
    results.decision_window,
    results.expected_usd,
    results.realised_usd,
    results.unlabelled_share,
    min(votes.gauge_confidence) as least_confidence,
    any_value(coverage.coverage_share) as coverage_share,
    any_value(coverage.unpriced_gauge_count) as unpriced_gauge_count,
    any_value(coverage.mismatch_count) as mismatch_count
from {{ ref('preboundary_backtest_results') }} as results
inner join {{ ref('preboundary_backtest_votes') }} as votes
    on
        results.protocol = votes.protocol
        and results.voter_id = votes.voter_id
        and results.epoch = votes.epoch
        and results.decision_window = votes.decision_window
        and results.strategy = votes.strategy
left join {{ ref('preboundary_snapshot_coverage') }} as coverage
    on
        results.protocol = coverage.protocol
        and results.epoch = coverage.epoch
        and results.decision_window = coverage.decision_window
where results.strategy = 'foreshore'
group by all
order by results.unlabelled_share desc, least_confidence asc, results.epoch asc
