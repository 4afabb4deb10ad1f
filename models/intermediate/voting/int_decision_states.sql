with panel as (
    select * from {{ ref('int_forecast_panel') }}
)

-- what a decision saw, in two hashes: whose they are tells votes that differ from rewards and prices that differ
select
    protocol,
    voter_id,
    epoch,
    decision_window,
    count(*) as gauge_count,
    md5(
        string_agg(
            row(gauge_address, other_votes_now, own_votes_now, previous_votes, is_candidate)::varchar,
            ',' order by gauge_address
        )
    ) as votes_signature,
    md5(
        string_agg(
            row(gauge_address, rewards_now_usd, data_confidence, is_price_stale)::varchar,
            ',' order by gauge_address
        )
    ) as rewards_signature
from panel
group by all
