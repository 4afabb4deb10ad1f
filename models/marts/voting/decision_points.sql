with windows as (
    select * from {{ ref('stg_voting__windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

decision_windows as (
    select * from {{ ref('decision_windows') }}
)

select
    windows.protocol,
    windows.chain_id,
    windows.epoch,
    windows.decision_window,
    decision_windows.role = 'control' as is_control,
    windows.decision_block_hash,
    decision_windows.position as window_position,
    windows.decision_block,
    windows.observed_block,
    windows.total_votes_raw,
    windows.gauge_count,
    epochs.last_votable_block,
    {{ seconds_between('windows.decision_at', 'epochs.boundary_at') }} as seconds_to_boundary,
    windows.target_at,
    windows.decision_at,
    windows.observed_at,
    epochs.last_votable_at
from windows
inner join epochs on windows.protocol = epochs.protocol and windows.epoch = epochs.epoch
inner join decision_windows on windows.decision_window = decision_windows.decision_window
