-- 3. Was it within the scenarios? Where realised lies in the range that was foreseen, per window and epoch.
select
    protocol,
    voter_id,
    decision_window,
    epoch,
    conservative_usd,
    expected_usd,
    aggressive_usd,
    realised_usd,
    is_covered,
    case
        when realised_usd < conservative_usd then 'worse than the worst'
        when realised_usd > aggressive_usd then 'better than the best'
        else 'within'
    end as place
from {{ ref('preboundary_backtest_results') }}
where strategy = 'foreshore' and expected_usd is not null
order by protocol, voter_id, decision_window, epoch
