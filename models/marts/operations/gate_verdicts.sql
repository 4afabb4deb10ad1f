with voting as (
    select * from {{ ref('int_voting_gates') }}
),

optimality as (
    select * from {{ ref('int_voting_optimality') }}
),

lending as (
    select * from {{ ref('int_lending_gates') }}
),

panel as (
    select * from {{ ref('int_lending_panel_gates') }}
),

bars as (
    select * from {{ ref('int_bars_gates') }}
),

markets as (
    select * from {{ ref('int_markets_gates') }}
)

select * from voting
union all by name
select * from optimality
union all by name
select * from lending
union all by name
select * from panel
union all by name
select * from bars
union all by name
select * from markets
