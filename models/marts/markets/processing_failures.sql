with failures as (
    select * from {{ ref('stg_ledger__failures') }}
),

runs as (
    select * from {{ ref('stg_ledger__runs') }}
),

markets as (
    select * from {{ ref('stg_ledger__markets') }}
)

select
    failures.run_id,
    failures.attempt,
    failures.market_id,
    failures.stage,
    failures.experiment,
    failures.problem,
    failures.error_class,
    failures.error_message,
    failures.is_retriable,
    failures.is_stale_success,
    -- a later attempt that went well closes it: of the market, or of the run where no market is named
    case
        when failures.market_id is null then failures.attempt >= runs.attempt
        else failures.attempt >= coalesce(markets.attempt, 0)
    end as is_open,
    failures.failed_at
from failures
inner join runs on failures.run_id = runs.run_id
left join markets on failures.run_id = markets.run_id and failures.market_id = markets.market_id
