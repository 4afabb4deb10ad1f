-- what experiments learned from (the ledger) and what they are scored by (the lake) are the same ends
select
    outcomes.market_id,
    outcomes.label,
    resolutions.label as label_in_lake
from {{ ref('stg_ledger__outcomes') }} as outcomes
inner join {{ ref('market_resolutions') }} as resolutions on outcomes.market_id = resolutions.market_id
where
    outcomes.resolution_status = 'resolved'
    and resolutions.resolution_status in ('resolved', 'void')
    and outcomes.label is distinct from resolutions.label
