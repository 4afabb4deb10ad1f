with loads as (
    select * from {{ ref('stg_bars__loads') }}
),

live as (
    select * from {{ ref('stg_pre_paper__revisions') }}
),

signals as (
    select * from {{ ref('int_bar_signals') }}
),

parity as (
    select * from {{ ref('pre_paper_parity') }}
),

-- one value per load: of a bar that came twice in one the last row
said as (
    select *
    from loads
    where timeframe = 'M5'
    qualify row_number() over (
        partition by provider, feed, symbol, bar_at, fetched_at
        order by row_position desc
    ) = 1
),

followed as (
    select
        *,
        lag(open) over earlier as old_open,
        lag(high) over earlier as old_high,
        lag(low) over earlier as old_low,
        lag(close) over earlier as old_close
    from said
    window earlier as (partition by provider, feed, symbol, bar_at order by fetched_at)
),

revisions as (
    select
        symbol,
        feed,
        provider as revised_by,
        'replaced' as revision_outcome,
        'load' as old_source,
        'load' as new_source,
        old_open,
        old_high,
        old_low,
        old_close,
        open as new_open,
        high as new_high,
        low as new_low,
        close as new_close,
        bar_at,
        fetched_at as revised_at
    from followed
    where old_open is not null and (old_open, old_high, old_low, old_close) <> (open, high, low, close)
    union all
    select
        symbol,
        feed,
        run_id as revised_by,
        revision_outcome,
        old_source,
        new_source,
        old_open,
        old_high,
        old_low,
        old_close,
        new_open,
        new_high,
        new_low,
        new_close,
        bar_at,
        revised_at
    from live
),

revised as (
    select distinct
        symbol,
        feed,
        bar_at
    from revisions
),

-- signals whose pattern stands on the bar
resting as (
    select
        revised.symbol,
        revised.feed,
        revised.bar_at,
        count(distinct signals.rules_hash || cast(signals.trigger_at as varchar)) as resting_signal_count
    from revised
    inner join signals
        on
            revised.symbol = signals.symbol
            and revised.feed = signals.feed
            and revised.bar_at between coalesce(signals.mother_at, signals.trigger_at) and signals.trigger_at
    group by all
),

-- what was said on the old value and is not what the new one says
changed as (
    select
        revised.symbol,
        revised.feed,
        revised.bar_at,
        count(distinct parity.run_id || cast(parity.close_at as varchar)) as changed_signal_count
    from revised
    inner join parity
        on
            revised.symbol = parity.symbol
            and revised.feed = parity.feed
            and revised.bar_at < parity.close_at
            and cast(timezone('America/New_York', revised.bar_at) as date)
            = cast(timezone('America/New_York', parity.close_at) as date)
    where parity.parity in ('differs', 'live_only', 'backtest_only')
    group by all
)

select
    revisions.symbol,
    revisions.feed,
    revisions.revised_by,
    revisions.revision_outcome,
    revisions.old_source,
    revisions.new_source,
    revisions.old_open,
    revisions.old_high,
    revisions.old_low,
    revisions.old_close,
    revisions.new_open,
    revisions.new_high,
    revisions.new_low,
    revisions.new_close,
    coalesce(resting.resting_signal_count, 0) as resting_signal_count,
    coalesce(changed.changed_signal_count, 0) as changed_signal_count,
    row_number() over (
        partition by revisions.symbol, revisions.feed, revisions.bar_at
        order by revisions.revised_at, revisions.revised_by, revisions.new_source, revisions.new_close
    ) as revision_number,
    revisions.bar_at,
    revisions.revised_at
from revisions
left join resting
    on
        revisions.symbol = resting.symbol
        and revisions.feed = resting.feed
        and revisions.bar_at = resting.bar_at
left join changed
    on
        revisions.symbol = changed.symbol
        and revisions.feed = changed.feed
        and revisions.bar_at = changed.bar_at
order by revisions.symbol, revisions.feed, revisions.bar_at, revisions.revised_at
