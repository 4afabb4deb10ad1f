with calls as (
    select * from {{ ref('stg_ledger__model_calls') }}
)

select
    run_id,
    market_id,
    experiment,
    experiment_version,
    call_status,
    error_class,
    error_message,
    request_sha256,
    prompt_sha256,
    messages,
    answer,
    finish_reason,
    model_asked,
    model_answered,
    sample_number,
    call_number,
    temperature,
    seed,
    prompt_tokens,
    completion_tokens,
    charged_tokens,
    cost_usd,
    try_count,
    latency_seconds,
    asked_at
from calls
