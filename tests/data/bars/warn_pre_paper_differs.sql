{{ config(severity = 'warn') }}
-- Live and backtest of the same rules on the same series said something else. A warning, not an error: a provider may
-- revise bars days later, and then the backtest is the one that moved. The row says at which close to look.
select
    run_id,
    symbol,
    close_at,
    parity,
    live_side,
    backtest_side,
    live_entry_price,
    backtest_entry_price
from {{ ref('pre_paper_parity') }}
where parity in ('differs', 'live_only', 'backtest_only')
