with results as (
    select * from {{ ref('int_experiment_results') }}
    where result_kind = 'forecast'
),

resolutions as (
    select * from {{ ref('market_resolutions') }}
    where resolution_status = 'resolved'
),

horizons as (
    select * from {{ ref('score_horizons') }}
),

failed as (
    select * from {{ ref('int_markets_gates') }}
    where verdict = 'fail' and left_out_of = 'score'
),

-- the reference on the same market and snapshot; its newest version if there are several
market_prices as (
    select
        run_id,
        market_id,
        max_by(probability, {{ version_order('experiment_version') }}) as market_probability
    from results
    where experiment = 'market_price'
    group by run_id, market_id
),

-- a forecast made after the end is none
labelled as (
    select
        results.run_id,
        results.market_id,
        coalesce(results.event_id, results.market_id) as event_cluster,
        results.experiment,
        results.experiment_version,
        results.probability,
        market_prices.market_probability,
        -- of the outcome that the forecast's own snapshot had first, whatever order the end record has
        case
            when resolutions.winning_token_id is null then resolutions.label
            when resolutions.winning_token_id = results.first_token_id then 1
            when resolutions.winning_token_id = results.second_token_id then 0
        end as label,
        results.snapshot_at,
        resolutions.ended_at as resolved_at,
        resolutions.end_time_kind = 'known' as is_undated,
        -- a model whose maker states no cutoff, or a later one than the snapshot, may have known how it ended
        coalesce(
            results.training_cutoff = 'unknown'
            or try_cast(results.training_cutoff as date) >= cast(results.snapshot_at as date),
            false
        ) as is_foreknown,
        {{ seconds_between('results.snapshot_at', 'resolutions.ended_at') }} / 86400.0 as days_to_resolution,
        {{ seconds_between('results.snapshot_at', 'results.end_at') }} / 86400.0 as days_to_end
    from results
    inner join resolutions on results.market_id = resolutions.market_id
    left join market_prices on results.run_id = market_prices.run_id and results.market_id = market_prices.market_id
    where
        results.snapshot_at < resolutions.ended_at
        and results.run_id not in (select failed.subject from failed)
        and 'market ' || results.market_id not in (select failed.subject from failed)
),

timed as (
    select
        *,
        case label when 1 then probability else 1 - probability end as right_probability,
        -- until when it stood: the next forecast of the market, or its end
        least(resolved_at, coalesce(
            lead(snapshot_at) over (partition by experiment, experiment_version, market_id order by snapshot_at),
            resolved_at
        )) as stood_until_at
    from labelled
    where label is not null
)

select
    timed.* exclude (right_probability, stood_until_at),
    actual.horizon as actual_horizon,
    scheduled.horizon as scheduled_horizon,
    least(floor(timed.probability * {{ threshold('score_bins') }}), {{ threshold('score_bins') }} - 1)::integer as bin,
    pow(timed.probability - timed.label, 2) as brier,
    pow(timed.market_probability - timed.label, 2) as market_brier,
    -ln(least(
        greatest(timed.right_probability, {{ threshold('score_log_clip') }}), 1 - {{ threshold('score_log_clip') }}
    )) as log_loss,
    greatest({{ seconds_between('timed.snapshot_at', 'timed.stood_until_at') }}, 1) as stood_seconds
from timed
inner join horizons as actual
    on timed.days_to_resolution >= actual.from_days and timed.days_to_resolution < actual.to_days
left join horizons as scheduled
    on timed.days_to_end >= scheduled.from_days and timed.days_to_end < scheduled.to_days
