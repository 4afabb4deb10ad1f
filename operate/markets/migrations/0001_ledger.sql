-- The run ledger: one row per run, per market of a run, per failure, per market whose end we know.
create table processing_runs (
    run_id text primary key,
    run_date date not null,
    window_days integer not null,
    target_date date not null,
    status text not null,
    attempt integer not null,
    owner text not null,
    lease_until timestamptz not null,
    snapshot_at timestamptz,
    listed_count integer,
    refused_count integer,
    experiments {json},
    code_version text not null,
    config_sha256 text not null,
    error text,
    claimed_at timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    unique (run_date, window_days)
);

create table processed_markets (
    run_id text not null,
    market_id text not null,
    event_id text,
    attempt integer not null,
    snapshot_at timestamptz not null,
    midpoint double precision,
    payload {json} not null,
    payload_sha256 text not null,
    written_at timestamptz not null,
    primary key (run_id, market_id)
);

-- an empty market_id or experiment stands for "the run as a whole", "no experiment"
create table processing_failures (
    run_id text not null,
    attempt integer not null,
    market_id text not null,
    stage text not null,
    experiment text not null,
    error_class text not null,
    message text not null,
    is_retriable boolean not null,
    is_stale_success boolean not null,
    failed_at timestamptz not null,
    primary key (run_id, attempt, market_id, stage, experiment)
);

create table market_outcomes (
    market_id text primary key,
    status text not null,
    label integer,
    resolved_at timestamptz,
    known_at timestamptz,
    checked_at timestamptz not null
);
