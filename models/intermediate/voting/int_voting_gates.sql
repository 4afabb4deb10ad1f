with windows as (
    select * from {{ ref('stg_voting__windows') }}
),

decision_windows as (
    select * from {{ ref('decision_windows') }}
),

epochs as (
    select * from {{ ref('stg_voting__epochs') }}
),

scans as (
    select * from {{ ref('stg_voting__event_scans') }}
),

events as (
    select * from {{ ref('stg_voting__events') }}
),

gauge_windows as (
    select * from {{ ref('int_gauge_windows') }}
),

votes_by_voter as (
    select * from {{ ref('int_votes_by_voter') }}
),

rewards as (
    select * from {{ ref('int_rewards_valued') }}
),

coverage as (
    select * from {{ ref('preboundary_snapshot_coverage') }}
),

leakage as (
    select * from {{ ref('preboundary_leakage_checks') }}
),

rules as (
    select * from {{ ref('voting_rules') }}
),

-- a state read before the first extracted epoch anchors votes that carry over: who cast those is not known
anchored as (
    select states.protocol
    from {{ ref('stg_voting__gauge_states') }} as states
    inner join (
        select
            protocol,
            min(epoch) as first_epoch
        from epochs
        group by protocol
    ) as firsts
        on states.protocol = firsts.protocol
    where states.epoch < firsts.first_epoch
    group by states.protocol
),

standing as (
    select
        protocol,
        epoch,
        decision_window,
        gauge_address,
        sum(votes_raw) as votes_raw
    from votes_by_voter
    group by all
),

read_windows as (
    select
        windows.protocol,
        windows.epoch,
        windows.decision_window,
        any_value(windows.total_votes_raw) as total_raw,
        sum(gauge_windows.votes_raw) as summed_raw,
        count(*) filter (where gauge_windows.votes_raw is null) as unread_count,
        count(*) filter (where gauge_windows.is_votes_confirmed = false) as unconfirmed_count,
        min(gauge_windows.gauge_address) filter (where gauge_windows.is_votes_confirmed = false) as first_unconfirmed,
        count(*) filter (where gauge_windows.reward_mismatch_count > 0) as reward_mismatch_count,
        min(gauge_windows.gauge_address) filter (
            where gauge_windows.reward_mismatch_count > 0
        ) as first_reward_mismatch,
        count(*) filter (
            where
            gauge_windows.is_votes_confirmed and gauge_windows.replay_status = 'exact' and gauge_windows.is_alive
            and anchored.protocol is null
            and coalesce(standing.votes_raw, 0) <> gauge_windows.votes_raw
        ) as voters_differ_count
    from windows
    inner join gauge_windows
        on
            windows.protocol = gauge_windows.protocol
            and windows.epoch = gauge_windows.epoch
            and windows.decision_window = gauge_windows.decision_window
    left join standing
        on
            gauge_windows.protocol = standing.protocol
            and gauge_windows.epoch = standing.epoch
            and gauge_windows.decision_window = standing.decision_window
            and gauge_windows.gauge_address = standing.gauge_address
    left join anchored on gauge_windows.protocol = anchored.protocol
    group by windows.protocol, windows.epoch, windows.decision_window
),

-- a log stamped in milliseconds, with zero or by another hour would come before a decision by its block and after it by
-- its time, or the other way round
mistimed as (
    select
        windows.protocol,
        windows.epoch,
        windows.decision_window,
        count(*) filter (
            where events.block_at > windows.observed_at or events.block_at < epochs.epoch_start_at
        ) as mistimed_count,
        min(events.transaction_hash) filter (
            where events.block_at > windows.observed_at or events.block_at < epochs.epoch_start_at
        ) as first_mistimed
    from windows
    inner join epochs on windows.protocol = epochs.protocol and windows.epoch = epochs.epoch
    inner join events
        on
            windows.protocol = events.protocol
            and windows.epoch = events.scan_epoch
            and windows.observed_block >= events.block_number
            and epochs.start_block <= events.block_number
    group by windows.protocol, windows.epoch, windows.decision_window
),

stale as (
    select
        protocol,
        epoch,
        decision_window,
        count(distinct token_address) filter (
            where value_status = 'ok' and price_age_seconds > {{ threshold('price_stale_seconds') }}
        ) as stale_count,
        max(price_age_seconds) filter (where value_status = 'ok') as oldest_seconds
    from rewards
    group by all
),

expected_epochs as (
    select
        protocol,
        unnest(generate_series(min(epoch), max(epoch), 604800)) as epoch
    from epochs
    group by protocol
),

window_gates as (
    select
        protocol,
        epoch,
        decision_window,
        'votes_add_up_to_the_total' as gate,
        'decision' as scope,
        'fail' as severity,
        (summed_raw is distinct from total_raw)::int as problem_count,
        (summed_raw - total_raw)::double / pow(10, {{ threshold('votes_decimals') }}) as measured,
        0 as allowed,
        'the gauges hold ' || coalesce(summed_raw::varchar, 'no') || ' votes, the exchange says '
        || coalesce(total_raw::varchar, 'nothing') || '; ' || unread_count || ' gauges could not be read' as evidence,
        true as is_refetched
    from read_windows
    union all
    select
        protocol,
        epoch,
        decision_window,
        'votes_confirmed_by_events',
        'decision',
        'fail',
        unconfirmed_count as problem_count,
        unconfirmed_count as measured,
        0 as allowed,
        unconfirmed_count || ' gauges hold other votes than their events say, first: ' || first_unconfirmed,
        true
    from read_windows
    union all
    select
        protocol,
        epoch,
        decision_window,
        'rewards_confirmed_by_events',
        'decision',
        'fail',
        reward_mismatch_count as problem_count,
        reward_mismatch_count as measured,
        0 as allowed,
        reward_mismatch_count || ' gauges hold other rewards than their events say, first: ' || first_reward_mismatch,
        true
    from read_windows
    union all
    select
        protocol,
        epoch,
        decision_window,
        'voters_add_up_to_the_gauge',
        'decision',
        'fail',
        voters_differ_count as problem_count,
        voters_differ_count as measured,
        0 as allowed,
        voters_differ_count || ' gauges hold other votes than their voters cast: own votes cannot be taken out',
        true
    from read_windows
    union all
    select
        windows.protocol,
        windows.epoch,
        windows.decision_window,
        'events_scanned',
        'decision',
        'fail',
        (scans.epoch is null)::int,
        null,
        null,
        'no event scan reaches block ' || windows.observed_block || ': votes and rewards are known from one side only',
        false
    from windows
    inner join epochs on windows.protocol = epochs.protocol and windows.epoch = epochs.epoch
    left join scans
        on
            windows.chain_id = scans.chain_id
            and windows.epoch = scans.epoch
            and windows.observed_block <= scans.to_block
    union all
    select
        protocol,
        epoch,
        decision_window,
        'event_times_follow_blocks',
        'decision',
        'fail',
        mistimed_count as problem_count,
        mistimed_count as measured,
        0 as allowed,
        mistimed_count || ' logs lie outside the epoch or after the block they come before, first: ' || first_mistimed,
        true
    from mistimed
    union all
    select
        protocol,
        epoch,
        decision_window,
        'no_leak',
        'decision',
        case verdict when 'leak' then 'fail' else 'warn' end,
        (verdict <> 'clean')::int,
        equal_share,
        {{ threshold('leak_equal_share') }},
        evidence,
        verdict = 'leak'
    from leakage
    where not is_control
    union all
    select
        protocol,
        epoch,
        decision_window,
        'covers_the_truth',
        'score',
        'fail',
        (coverage_share < {{ threshold('min_coverage_share') }})::int,
        coverage_share,
        {{ threshold('min_coverage_share') }},
        covered_count || ' of the ' || truth_gauge_count || ' gauges of the truth were visible',
        true
    from coverage
    where coverage_share is not null
    union all
    select
        protocol,
        epoch,
        decision_window,
        'is_not_thin',
        'nothing',
        'warn',
        (gauge_count < {{ threshold('min_gauges') }} or rewarded_share < {{ threshold('min_rewarded_share') }})::int,
        gauge_count,
        {{ threshold('min_gauges') }},
        gauge_count || ' gauges, ' || round(100 * coalesce(rewarded_share, 0)) || ' % of them with rewards',
        false
    from coverage
    union all
    select
        protocol,
        epoch,
        decision_window,
        'prices_are_fresh',
        'nothing',
        'warn',
        stale_count,
        oldest_seconds,
        {{ threshold('price_stale_seconds') }},
        stale_count || ' prices in use are stale, the oldest by ' || oldest_seconds || ' s',
        false
    from stale
),

epoch_gates as (
    select
        expected_epochs.protocol,
        expected_epochs.epoch,
        'epoch_extracted' as gate,
        (epochs.epoch is null)::int as problem_count,
        'the epoch lies between others and was never extracted' as evidence
    from expected_epochs
    left join epochs on expected_epochs.protocol = epochs.protocol and expected_epochs.epoch = epochs.epoch
    union all
    select
        epochs.protocol,
        epochs.epoch,
        'truth_extracted',
        (windows.epoch is null)::int,
        'the epoch ended and its final state was not read'
    from epochs
    left join windows
        on
            epochs.protocol = windows.protocol
            and epochs.epoch = windows.epoch
            and windows.decision_window = 'boundary'
    where epochs.epoch_status = 'ended'
    union all
    -- the control holds final state on purpose: where the checks do not flag it, they prove nothing
    select
        leakage.protocol,
        leakage.epoch,
        'control_is_caught',
        (leakage.verdict <> 'leak')::int,
        'the control is called ' || leakage.verdict || ' (' || leakage.evidence || ')'
    from leakage
    where leakage.is_control
),

gates as (
    select
        protocol as subject,
        epoch::varchar as period,
        decision_window as part,
        gate,
        scope,
        severity,
        problem_count,
        measured,
        allowed,
        evidence,
        'foreshore extract voting --since ' || epoch || ' --until ' || epoch || ' --protocol ' || protocol
        || if(is_refetched, ' --no-resume', '') as cure
    from window_gates
    union all
    select
        protocol,
        epoch::varchar,
        'boundary',
        gate,
        'score',
        'fail',
        problem_count,
        null,
        null,
        evidence,
        'foreshore extract voting --since ' || epoch || ' --until ' || epoch || ' --protocol ' || protocol
    from epoch_gates
    union all
    select
        protocols.protocol,
        '',
        '',
        'has_a_voting_rule',
        'decision',
        'fail',
        (rules.protocol is null)::int,
        null,
        null,
        'how often and how late it lets one vote is not on record',
        'add a line for ' || protocols.protocol || ' to seeds/voting/voting_rules.csv'
    from (select distinct epochs.protocol from epochs) as protocols
    left join rules on protocols.protocol = rules.protocol
    union all
    {{ gates_of_failing_partitions(
        sources="'voting'",
        scope='decision',
        subject="split_part(partition_key, '/', 1)",
        period="split_part(partition_key, '/', 2)",
        part="case when partition_window = 'all' then '' else partition_window end",
        cure="'foreshore extract voting --since ' || split_part(partition_key, '/', 2) || ' --until ' || split_part(partition_key, '/', 2)"
    ) }}
)

{{ gate_columns('voting', 'gates') }}
