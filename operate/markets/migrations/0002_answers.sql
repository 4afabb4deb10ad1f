-- A run's market knows what it asked about: its scheduled end, its two tokens, and the inputs its results rest on.
alter table processed_markets add column end_at timestamptz;
alter table processed_markets add column first_token_id text;
alter table processed_markets add column second_token_id text;
alter table processed_markets add column inputs_sha256 text;
update processed_markets set
    end_at = cast((payload -> 'snapshot' ->> 'end_at') as timestamptz),
    first_token_id = (payload -> 'snapshot' -> 'token_ids' ->> 0),
    second_token_id = (payload -> 'snapshot' -> 'token_ids' ->> 1);

-- Two problems of one attempt are two rows: `problem` tells them apart (a digest of class and message).
create table processing_failures_before (
    run_id text, attempt integer, market_id text, stage text, experiment text, error_class text, message text,
    is_retriable boolean, is_stale_success boolean, failed_at timestamptz
);
insert into processing_failures_before select * from processing_failures;
drop table processing_failures;
create table processing_failures (
    run_id text not null,
    attempt integer not null,
    market_id text not null,
    stage text not null,
    experiment text not null,
    problem text not null,
    error_class text not null,
    message text not null,
    is_retriable boolean not null,
    is_stale_success boolean not null,
    failed_at timestamptz not null,
    primary key (run_id, attempt, market_id, stage, experiment, problem)
);
insert into processing_failures
select
    run_id, attempt, market_id, stage, experiment, '', error_class, message, is_retriable, is_stale_success, failed_at
from processing_failures_before;
drop table processing_failures_before;

-- Every answer that stood about a market's end, since when: a result that is taken back is a row more, never less.
create table market_answers (
    market_id text not null,
    known_at timestamptz not null,
    status text not null,
    label integer,
    winning_token_id text,
    resolved_at timestamptz,
    primary key (market_id, known_at)
);
insert into market_answers
select market_id, known_at, status, label, null, resolved_at from market_outcomes where known_at is not null;

-- What a language model was asked and what it said, one row per call.
create table model_calls (
    run_id text not null,
    market_id text not null,
    experiment text not null,
    experiment_version text not null,
    sample integer not null,
    attempt integer not null,
    status text not null,
    error_class text not null,
    error_message text not null,
    request_sha256 text not null,
    prompt_sha256 text not null,
    messages {json} not null,
    answer text not null,
    finish text not null,
    model_asked text not null,
    model_answered text not null,
    temperature double precision not null,
    seed bigint,
    prompt_tokens bigint,
    completion_tokens bigint,
    charged_tokens bigint not null,
    cost_usd double precision not null,
    tries integer not null,
    latency_seconds double precision not null,
    asked_at timestamptz not null,
    primary key (run_id, market_id, experiment, experiment_version, sample, attempt)
);
