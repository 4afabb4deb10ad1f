with quantiles as (
    select * from {{ ref('forecast_quantiles') }}
),

panel as (
    select * from {{ ref('int_forecast_panel') }}
),

realised as (
    select
        quantiles.*,
        quantiles.sample_epochs >= {{ threshold('min_interval_epochs') }} as is_interval_shown,
        case
            when quantiles.measure = 'drift'
                then ln(
                    (panel.other_votes_final + {{ threshold('drift_floor_votes') }})
                    / (panel.other_votes_now + {{ threshold('drift_floor_votes') }})
                )
            else ln(
                (panel.rewards_final_usd + {{ threshold('uplift_floor_usd') }})
                / (panel.rewards_now_usd + {{ threshold('uplift_floor_usd') }})
            )
        end as realised_move
    from quantiles
    inner join panel
        on
            quantiles.protocol = panel.protocol
            and quantiles.voter_id = panel.voter_id
            and quantiles.epoch = panel.epoch
            and quantiles.decision_window = panel.decision_window
            and quantiles.gauge_address = panel.gauge_address
    where panel.known_at is not null and quantiles.sample_rows > 0
),

scored as (
    select
        *,
        p90 - p10 as width_80,
        (
            greatest(0.10 * (realised_move - p10), 0.90 * (p10 - realised_move))
            + greatest(0.25 * (realised_move - p25), 0.75 * (p25 - realised_move))
            + greatest(0.50 * (realised_move - p50), 0.50 * (p50 - realised_move))
            + greatest(0.75 * (realised_move - p75), 0.25 * (p75 - realised_move))
            + greatest(0.90 * (realised_move - p90), 0.10 * (p90 - realised_move))
        ) / 5 as pinball,
        -- what a forecast of no move at all would have lost
        abs(realised_move) / 2 as pinball_no_move
    from realised
)

select
    protocol,
    voter_id,
    epoch,
    decision_window,
    measure,
    any_value(candidate) as candidate,
    count(*) as gauge_count,
    -- an interval's ends are sums of logarithms: 1e-9 keeps a move of zero inside an interval of zero width
    avg(case when realised_move between p25 - 1e-9 and p75 + 1e-9 then 1.0 else 0.0 end)
    filter (where is_interval_shown) as coverage_50,
    avg(case when realised_move between p10 - 1e-9 and p90 + 1e-9 then 1.0 else 0.0 end)
    filter (where is_interval_shown) as coverage_80,
    avg(width_80 order by width_80) filter (where is_interval_shown) as width_80,
    avg(pinball order by pinball) as pinball,
    avg(pinball_no_move order by pinball_no_move) as pinball_no_move,
    avg(case when realised_move = 0 then 1.0 else 0.0 end) as unmoved_share
from scored
group by all
