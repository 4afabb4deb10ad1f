-- Polymarket runs daily; a schedule that silently stopped leaves no failure behind, only an old newest day.
{{ config(severity = 'warn') }}
with freshness as (
    select * from {{ ref('data_freshness') }}
)

select
    source,
    table_group,
    newest_fetch_at,
    {{ seconds_between('newest_fetch_at', 'now()') }} as age_seconds
from freshness
where
    source = 'markets'
    and table_group = 'markets'
    and {{ seconds_between('newest_fetch_at', 'now()') }} > {{ threshold('market_run_overdue_seconds') }}
