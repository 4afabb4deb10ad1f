"""The run ledger's statements: the same on DuckDB and PostgreSQL, `?` for a parameter."""

CLAIM = """
    insert into processing_runs (
        run_id, run_date, window_days, target_date, status, attempt, owner, lease_until, code_version, config_sha256,
        claimed_at, started_at
    ) values (?, ?, ?, ?, 'running', 1, ?, ?, ?, ?, ?, ?)
    on conflict do nothing
"""
SEE_RUN = "select status, attempt, owner, lease_until from processing_runs where run_id = ?"
TAKE_OVER = """
    update processing_runs
    set status = 'running', owner = ?, lease_until = ?, attempt = ?, started_at = ?, finished_at = null, error = null,
        code_version = ?, config_sha256 = ?
    where run_id = ? and owner = ? and attempt = ?
    returning run_id
"""
RENEW = "update processing_runs set lease_until = ? where run_id = ? and owner = ? and attempt = ? returning run_id"
FINISH = "update processing_runs set status = ?, error = ?, finished_at = ?, lease_until = ? where run_id = ?"
UPSERT_MARKETS = """
    insert into processed_markets (
        run_id, market_id, event_id, attempt, snapshot_at, midpoint, payload, payload_sha256, written_at, end_at,
        first_token_id, second_token_id, inputs_sha256
    ) values {values}
    on conflict (run_id, market_id) do update set
        event_id = excluded.event_id, attempt = excluded.attempt, snapshot_at = excluded.snapshot_at,
        midpoint = excluded.midpoint, payload = excluded.payload, payload_sha256 = excluded.payload_sha256,
        written_at = excluded.written_at, end_at = excluded.end_at, first_token_id = excluded.first_token_id,
        second_token_id = excluded.second_token_id, inputs_sha256 = excluded.inputs_sha256
"""
UPSERT_FAILURES = """
    insert into processing_failures (
        run_id, attempt, market_id, stage, experiment, problem, error_class, message, is_retriable, is_stale_success,
        failed_at
    ) values {values}
    on conflict (run_id, attempt, market_id, stage, experiment, problem) do update set
        error_class = excluded.error_class, message = excluded.message, failed_at = excluded.failed_at
"""
NEWEST = """
    select max(moment) from (
        select max(snapshot_at) as moment from processed_markets
        union all
        select max(checked_at) as moment from market_outcomes
    ) as moments
"""
INSERT_CALLS = "insert into model_calls ({columns}) values {values} on conflict do nothing"
CALL_ORDER = "order by market_id, experiment, experiment_version, sample, attempt"
FAILING = """
    select distinct failures.market_id
    from processing_failures as failures
    left join processed_markets as markets
        on markets.run_id = failures.run_id and markets.market_id = failures.market_id
    where failures.run_id = ? and failures.stage <> 'backfill' and failures.attempt >= coalesce(markets.attempt, 0)
"""
RUNS = """
    select run_id, run_date, window_days, status, snapshot_at from processing_runs
    where run_date between ? and ? order by run_date, window_days
"""
HISTORY = """
    select market_id, cluster, midpoint, happened, known_at, superseded_at from (
        select
            markets.market_id, coalesce(markets.event_id, markets.market_id) as cluster, markets.midpoint,
            case
                when answers.winning_token_id is null then answers.label
                when answers.winning_token_id = markets.first_token_id then 1
                when answers.winning_token_id = markets.second_token_id then 0
            end as happened,
            answers.known_at, answers.superseded_at,
            row_number() over (
                partition by markets.market_id, answers.known_at order by markets.snapshot_at desc
            ) as newest
        from (
            select *, lead(known_at) over (partition by market_id order by known_at) as superseded_at
            from market_answers
        ) as answers
        inner join processed_markets as markets
            on markets.market_id = answers.market_id and markets.snapshot_at < answers.known_at
        where answers.status = 'resolved'
    ) as seen
    where newest = 1 and happened is not null order by known_at, market_id
"""
PAYLOADS = "select market_id, event_id, payload, payload_sha256 from processed_markets where run_id = ? order by 1"
UNRESOLVED = """
    select
        markets.market_id,
        (markets.payload -> 'snapshot' ->> 'condition_id') as condition_id,
        (markets.payload -> 'snapshot' ->> 'outcomes') as outcomes,
        (markets.payload -> 'snapshot' ->> 'token_ids') as token_ids
    from (
        select *, row_number() over (partition by market_id order by snapshot_at desc) as newest
        from processed_markets
    ) as markets
    left join market_outcomes as outcomes on outcomes.market_id = markets.market_id
    where
        markets.newest = 1
        and coalesce(markets.end_at, markets.snapshot_at) >= ?
        and (outcomes.known_at is null or outcomes.known_at > ?)
    order by length(markets.market_id), markets.market_id
"""
