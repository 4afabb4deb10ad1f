-- One that is not in the registry is called after its id: `my_fork_base` on `base` is `My Fork · Base`.
with asked as (
    select distinct
        csu_id,
        chain
    from {{ ref('int_csu_days') }}
),

registry as (
    select * from {{ ref('csu_registry') }}
)

select
    coalesce(registry.csu_id, asked.csu_id) as csu_id,
    coalesce(
        registry.csu_name,
        case
            when ends_with(asked.csu_id, '_' || asked.chain)
                then
                    {{ title_case("left(asked.csu_id, length(asked.csu_id) - length(asked.chain) - 1)") }}
                    || ' · ' || {{ title_case('asked.chain') }}
            else {{ title_case('asked.csu_id') }}
        end
    ) as csu_name
from asked
full join registry on asked.csu_id = registry.csu_id
