-- Where nobody chooses, exactly one risk profile and one forecaster are the default.
select 'risk_profiles' as seed
from {{ ref('risk_profiles') }}
having count(*) filter (where is_default) <> 1
union all
select 'forecast_candidates' as seed
from {{ ref('forecast_candidates') }}
having count(*) filter (where is_default) <> 1
