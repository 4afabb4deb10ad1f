with source as (
    {{ newest_committed('pre_paper_revisions') }}
)

select
    run_id,
    feed,
    symbol,
    outcome as revision_outcome,
    old_source,
    new_source,
    row_number() over (partition by run_id order by bar_at, symbol, revised_at, new_source) as revision_number,
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
from source
