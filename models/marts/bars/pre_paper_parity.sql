with checks as (
    select * from {{ ref('stg_pre_paper__checks') }}
),

live_signals as (
    select * from {{ ref('stg_pre_paper__signals') }}
),

backtest_signals as (
    select * from {{ ref('int_bar_signals') }}
),

runs as (
    select * from {{ ref('inside_bar_runs') }}
),

-- a signal is on the disk before its close is decided: after a kill there may be one without the other
closes as (
    select
        run_id,
        promotion_sha256,
        strategy_key,
        impl_version,
        rules_hash,
        symbol,
        feed,
        is_replay,
        close_at,
        decision,
        status,
        reason
    from checks
    union all
    select distinct
        live_signals.run_id,
        live_signals.promotion_sha256,
        live_signals.strategy_key,
        live_signals.impl_version,
        live_signals.rules_hash,
        live_signals.symbol,
        live_signals.feed,
        live_signals.is_replay,
        live_signals.signal_at as close_at,
        'signal' as decision,
        'SUFFICIENT' as status,
        null as reason
    from live_signals
    anti join checks
        on
            live_signals.run_id = checks.run_id
            and live_signals.symbol = checks.symbol
            and live_signals.signal_at = checks.close_at
),

judged as (
    select
        closes.*,
        case
            when runs.run_status is null then 'unknown_rules'
            when runs.run_status <> 'SUCCESS' then 'series_failed'
            when closes.close_at not between runs.from_at and runs.to_at then 'out_of_range'
        end as parity_reason
    from closes
    left join runs
        on
            closes.rules_hash = runs.rules_hash
            and closes.symbol = runs.symbol
            and closes.feed = runs.feed
),

-- legs of one close in the order of their sides
live as (
    select
        *,
        row_number() over (partition by run_id, symbol, signal_at order by side) as leg
    from live_signals
),

backtest as (
    select
        *,
        row_number() over (partition by rules_hash, symbol, feed, signal_at order by side) as leg
    from backtest_signals
    -- live, such a close was NO-SIGNALS
    where reason is null or reason not in ('history_gap', 'unadjusted_split')
),

legs as (
    select
        judged.*,
        numbers.leg
    from judged
    cross join (select unnest(range(1, 3)) as leg) as numbers
),

compared as (
    select
        legs.*,
        live.side as live_side,
        backtest.side as backtest_side,
        live.entry_price as live_entry_price,
        backtest.entry_price as backtest_entry_price,
        live.inside_at as live_inside_at,
        backtest.inside_at as backtest_inside_at,
        round(
            abs(live.entry_price - backtest.entry_price)
            / if(backtest.entry_price < 1, backtest.tick_size_below_dollar_usd, backtest.tick_size_usd)
        ) as entry_ticks_apart,
        round(
            abs(live.stop_price - backtest.stop_price)
            / if(backtest.entry_price < 1, backtest.tick_size_below_dollar_usd, backtest.tick_size_usd)
        ) as stop_ticks_apart
    from legs
    left join live
        on
            legs.run_id = live.run_id
            and legs.symbol = live.symbol
            and legs.close_at = live.signal_at
            and legs.leg = live.leg
    left join backtest
        on
            legs.rules_hash = backtest.rules_hash
            and legs.symbol = backtest.symbol
            and legs.feed = backtest.feed
            and legs.close_at = backtest.signal_at
            and legs.leg = backtest.leg
            and legs.parity_reason is null
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
        when parity_reason is not null then 'not_compared'
        when backtest_side is null then 'live_only'
        when live_side is null then 'backtest_only'
        when
            live_side = backtest_side
            and coalesce(live_inside_at = backtest_inside_at, live_inside_at is null and backtest_inside_at is null)
            and entry_ticks_apart = 0
            and stop_ticks_apart = 0
            then 'equal'
        else 'differs'
    end as parity,
    parity_reason,
    decision,
    status,
    reason,
    live_side,
    backtest_side,
    cast(leg as bigint) as leg,
    live_entry_price,
    backtest_entry_price,
    entry_ticks_apart,
    stop_ticks_apart,
    is_replay,
    close_at
from compared
order by run_id, symbol, close_at, leg
