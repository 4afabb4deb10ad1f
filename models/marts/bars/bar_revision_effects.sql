with runs as (
    select * from {{ ref('bar_revision_runs') }}
)

select
    symbol,
    feed,
    revised_by,
    revision_outcome,
    strategy_key,
    impl_version,
    rules_hash,
    side,
    signal_effect,
    old_entry_price,
    new_entry_price,
    old_stop_price,
    new_stop_price,
    old_take_profit_price,
    new_take_profit_price,
    revised_bar_count,
    first_bar_at,
    last_bar_at,
    trigger_at,
    revised_at
from runs
order by symbol, feed, revised_at, rules_hash, trigger_at, side
