-- The law of point in time. A row equal to the truth, although events show that the truth moved after the
-- decision block, can only have been read from the future.
select
    protocol,
    epoch,
    decision_window,
    verdict,
    evidence
from {{ ref('preboundary_leakage_checks') }}
where not is_control and verdict = 'leak'
