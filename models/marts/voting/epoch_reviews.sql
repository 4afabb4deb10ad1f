with windows as (
    select
        windows.*,
        decision_windows.position as window_position
    from {{ ref('int_voter_windows') }} as windows
    inner join {{ ref('decision_windows') }} as decision_windows
        on windows.decision_window = decision_windows.decision_window
    where not windows.is_control
),

labels as (
    select * from {{ ref('preboundary_truth_labels') }}
),

own_votes as (
    select * from {{ ref('int_own_votes') }}
    where decision_window = 'boundary' and stake_raw > 0
),

features as (
    select * from {{ ref('preboundary_features') }}
),

rewards as (
    select * from {{ ref('int_rewards_valued') }}
    where not is_replaced and value_status not in ('zero', 'unread')
),

recommendations as (
    select * from {{ ref('vote_recommendations') }}
),

recommended as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        unnest(votes) as vote
    from recommendations
),

-- what the recommendation would have earned in the end, had it been cast and stood
as_recommended as (
    select
        recommended.protocol,
        recommended.voter_id,
        recommended.epoch,
        recommended.decision_window,
        sum(
            labels.final_rewards_usd * recommended.vote.votes
            / (
                recommended.vote.votes
                + (labels.final_supply_raw - coalesce(own_votes.stake_raw, 0))::double
                / pow(10, {{ threshold('votes_decimals') }})
            )
            order by recommended.vote.gauge_address
        ) as as_recommended_usd
    from recommended
    inner join labels
        on
            recommended.protocol = labels.protocol
            and recommended.epoch = labels.epoch
            and recommended.vote.gauge_address = labels.gauge_address
    left join own_votes
        on
            recommended.protocol = own_votes.protocol
            and recommended.voter_id = own_votes.voter_id
            and recommended.epoch = own_votes.epoch
            and recommended.vote.gauge_address = own_votes.gauge_address
    where recommended.vote.votes > 0
    group by all
),

-- the best that could have been had is the same for every strategy that was replayed
best as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        max(hindsight_usd) as best_usd
    from {{ ref('vote_backtest') }}
    group by all
),

-- what was there in the end, at the prices and liquidity of the window; a token that came later has only its last price
repriced as (
    select
        finals.protocol,
        finals.epoch,
        seen.decision_window,
        finals.gauge_address,
        sum(
            case
                when finals.value_status <> 'ok' then 0
                when coalesce(thens.liquidity_usd, finals.liquidity_usd) is null
                    then finals.reward_amount * coalesce(thens.price_usd, finals.price_usd)
                else
                    finals.reward_amount * coalesce(thens.price_usd, finals.price_usd)
                    * coalesce(thens.liquidity_usd, finals.liquidity_usd)
                    / nullif(
                        coalesce(thens.liquidity_usd, finals.liquidity_usd)
                        + finals.reward_amount * coalesce(thens.price_usd, finals.price_usd),
                        0
                    )
            end
            order by finals.bribe_address, finals.token_address
        ) as rewards_usd
    from rewards as finals
    inner join (select distinct
        protocol,
        epoch,
        decision_window
    from windows) as seen
        on finals.protocol = seen.protocol and finals.epoch = seen.epoch
    left join rewards as thens
        on
            finals.protocol = thens.protocol
            and finals.epoch = thens.epoch
            and seen.decision_window = thens.decision_window
            and finals.bribe_address = thens.bribe_address
            and finals.token_address = thens.token_address
            and thens.value_status = 'ok'
    where finals.decision_window = 'boundary'
    group by all
),

-- a claim that cannot be read may have paid anything: what was received in all is then not known
receipts as (
    select
        protocol,
        voter_id,
        epoch,
        count(*) filter (where receipt_status = 'unread') as unread_receipt_count,
        if(
            unread_receipt_count > 0, null, sum(received_then_usd order by bribe_address, token_address)
        ) as received_then_usd,
        if(
            unread_receipt_count > 0, null, sum(received_as_claimed_usd order by bribe_address, token_address)
        ) as received_as_claimed_usd
    from {{ ref('reward_receipts') }}
    group by all
),

voted as (
    select
        windows.protocol,
        windows.voter_id,
        windows.epoch,
        windows.decision_window,
        own_votes.gauge_address,
        own_votes.stake_raw::double / labels.final_supply_raw::double as final_share,
        own_votes.stake_raw::double
        / nullif(coalesce(features.other_votes_now_raw, 0)::double + own_votes.stake_raw::double, 0) as share_then,
        coalesce(features.rewards_now_usd, 0) as rewards_then_usd,
        coalesce(repriced.rewards_usd, 0) as rewards_at_prices_then_usd,
        coalesce(labels.final_rewards_usd, 0) as final_rewards_usd,
        labels.final_rewards_usd is null as is_unvalued,
        windows.reward_share
    from windows
    inner join own_votes
        on
            windows.protocol = own_votes.protocol
            and windows.voter_id = own_votes.voter_id
            and windows.epoch = own_votes.epoch
    inner join labels
        on
            own_votes.protocol = labels.protocol
            and own_votes.epoch = labels.epoch
            and own_votes.gauge_address = labels.gauge_address
            and labels.final_supply_raw > 0
    left join features
        on
            windows.protocol = features.protocol
            and windows.voter_id = features.voter_id
            and windows.epoch = features.epoch
            and windows.decision_window = features.decision_window
            and own_votes.gauge_address = features.gauge_address
    left join repriced
        on
            windows.protocol = repriced.protocol
            and windows.epoch = repriced.epoch
            and windows.decision_window = repriced.decision_window
            and own_votes.gauge_address = repriced.gauge_address
),

summed as (
    select
        protocol,
        voter_id,
        epoch,
        decision_window,
        count(*) as gauges_voted,
        count(*) filter (where is_unvalued) as unvalued_count,
        sum(reward_share * share_then * rewards_then_usd order by gauge_address) as as_it_stood_usd,
        sum(reward_share * final_share * rewards_then_usd order by gauge_address) as after_votes_usd,
        sum(reward_share * final_share * rewards_at_prices_then_usd order by gauge_address) as after_rewards_usd,
        sum(reward_share * final_share * final_rewards_usd order by gauge_address) as entitled_usd
    from voted
    group by all
)

select
    windows.protocol,
    windows.voter_id,
    windows.epoch,
    windows.decision_window,
    recommendations.action as recommended_action,
    -- promised + forecast_error + voted_otherwise = entitled
    windows.reward_share * recommendations.expected_usd as promised_usd,
    windows.reward_share * (as_recommended.as_recommended_usd - recommendations.expected_usd) as forecast_error_usd,
    coalesce(summed.entitled_usd, 0) - windows.reward_share * as_recommended.as_recommended_usd as voted_otherwise_usd,
    -- as_it_stood + others_votes + later_rewards + price_moves = entitled
    coalesce(summed.as_it_stood_usd, 0) as as_it_stood_usd,
    coalesce(summed.after_votes_usd - summed.as_it_stood_usd, 0) as others_votes_usd,
    coalesce(summed.after_rewards_usd - summed.after_votes_usd, 0) as later_rewards_usd,
    coalesce(summed.entitled_usd - summed.after_rewards_usd, 0) as price_moves_usd,
    coalesce(summed.entitled_usd, 0) as entitled_usd,
    -- received + not_received = entitled
    if(receipts.unread_receipt_count > 0, null, coalesce(receipts.received_then_usd, 0)) as received_then_usd,
    coalesce(summed.entitled_usd, 0)
    - if(receipts.unread_receipt_count > 0, null, coalesce(receipts.received_then_usd, 0)) as not_received_usd,
    receipts.received_as_claimed_usd,
    windows.reward_share * best.best_usd as best_usd,
    windows.reward_share * best.best_usd - coalesce(summed.entitled_usd, 0) as missed_usd,
    coalesce(summed.gauges_voted, 0) as gauges_voted,
    coalesce(summed.unvalued_count, 0) as unvalued_count,
    coalesce(receipts.unread_receipt_count, 0) as unread_receipt_count,
    windows.decision_at
from windows
inner join (select distinct
    protocol,
    epoch
from labels) as ended
    on windows.protocol = ended.protocol and windows.epoch = ended.epoch
left join summed
    on
        windows.protocol = summed.protocol
        and windows.voter_id = summed.voter_id
        and windows.epoch = summed.epoch
        and windows.decision_window = summed.decision_window
left join receipts
    on
        windows.protocol = receipts.protocol
        and windows.voter_id = receipts.voter_id
        and windows.epoch = receipts.epoch
left join recommendations
    on
        windows.protocol = recommendations.protocol
        and windows.voter_id = recommendations.voter_id
        and windows.epoch = recommendations.epoch
        and windows.decision_window = recommendations.decision_window
left join as_recommended
    on
        windows.protocol = as_recommended.protocol
        and windows.voter_id = as_recommended.voter_id
        and windows.epoch = as_recommended.epoch
        and windows.decision_window = as_recommended.decision_window
left join best
    on
        windows.protocol = best.protocol
        and windows.voter_id = best.voter_id
        and windows.epoch = best.epoch
        and windows.decision_window = best.decision_window
