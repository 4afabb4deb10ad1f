with checks as (
    select * from {{ ref('stg_pre_paper__checks') }}
),

live as (
    select * from {{ ref('stg_pre_paper__signals') }}
),

backtest as (
    select * from {{ ref('inside_bar_signals') }}
),

-- a backtest of the same rules on the same series must exist, and reach over the close that is compared
runs as (
    select * from {{ ref('inside_bar_backtest') }}
    where run_status = 'SUCCESS'
),

compared as (
    select
        checks.*,
        live.side as live_side,
        backtest.side as backtest_side,
        live.entry_price as live_entry_price,
        backtest.entry_price as backtest_entry_price,
        live.stop_price as live_stop_price,
        backtest.stop_price as backtest_stop_price,
        live.inside_at as live_inside_at,
        backtest.inside_at as backtest_inside_at
    from checks
    inner join runs
        on
            checks.rules_hash = runs.rules_hash
            and checks.symbol = runs.symbol
            and checks.feed = runs.feed
            and checks.close_at between runs.from_at and runs.to_at
    left join live
        on
            checks.run_id = live.run_id
            and checks.symbol = live.symbol
            and checks.close_at = live.signal_at
    left join backtest
        on
            checks.rules_hash = backtest.rules_hash
            and checks.symbol = backtest.symbol
            and checks.feed = backtest.feed
            and checks.close_at = backtest.signal_at
            and backtest.order_reason is distinct from 'history_gap'
    where live.side is not null or backtest.side is not null
)

select
    run_id,
    promotion_sha256,
    strategy_key,
    impl_version,
    rules_hash,
    symbol,
    feed,
    case
        when decision = 'NO-SIGNALS' then 'no_signals'
        when backtest_side is null then 'live_only'
        when live_side is null then 'backtest_only'
        when
            live_side = backtest_side
            and live_inside_at = backtest_inside_at
            and abs(live_entry_price - backtest_entry_price) <= 0.01
            and abs(live_stop_price - backtest_stop_price) <= 0.02
            then 'equal'
        else 'differs'
    end as parity,
    decision,
    status,
    reason,
    live_side,
    backtest_side,
    live_entry_price,
    backtest_entry_price,
    is_replay,
    close_at
from compared
order by run_id, symbol, close_at
