-- The scenarios of a set are all there is: their weights add up to 1.
select
    scenario_set,
    sum(weight) as weights
from {{ ref('scenario_weights') }}
group by all
having abs(sum(weight) - 1) > 1e-9
