with revisions as (
    select * from {{ ref('int_bar_revisions') }}
),

signals as (
    select * from {{ ref('int_bar_signals') }}
),

parity as (
    select * from {{ ref('pre_paper_parity') }}
),

effects as (
    select * from {{ ref('bar_revision_effects') }}
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
),

-- all bars of one correction were run together
rerun as (
    select
        symbol,
        feed,
        revised_by,
        revision_outcome,
        revised_at,
        count(*) as rerun_signal_count
    from effects
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
    coalesce(rerun.rerun_signal_count, 0) as rerun_signal_count,
    revisions.revision_number,
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
left join rerun
    on
        revisions.symbol = rerun.symbol
        and revisions.feed = rerun.feed
        and revisions.revised_by = rerun.revised_by
        and revisions.revision_outcome = rerun.revision_outcome
        and revisions.revised_at = rerun.revised_at
order by revisions.symbol, revisions.feed, revisions.bar_at, revisions.revised_at
