-- The boundary window holds final state on purpose. If the checks do not flag it, the checks are broken.
select
    protocol,
    epoch,
    decision_window,
    verdict,
    evidence
from {{ ref('preboundary_leakage_checks') }}
where is_control and verdict <> 'leak'
union all
-- and an ended epoch without its control has not been checked at all
select
    epochs.protocol,
    epochs.epoch,
    'boundary',
    'absent',
    'no control rows'
from {{ ref('epoch_boundaries') }} as epochs
left join {{ ref('preboundary_leakage_checks') }} as checks
    on epochs.protocol = checks.protocol and epochs.epoch = checks.epoch and checks.is_control
where epochs.epoch_status = 'ended' and checks.protocol is null
