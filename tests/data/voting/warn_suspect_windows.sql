{{ config(severity = 'warn') }}
-- Equal to the truth, with no events to prove that nothing moved: extract the events, then look again.
select
    protocol,
    epoch,
    decision_window,
    evidence
from {{ ref('preboundary_leakage_checks') }}
where verdict = 'suspect'
