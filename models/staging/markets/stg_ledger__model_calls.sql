with source as (
    select * from {{ source('ledger', 'model_calls') }}
)

select
    run_id,
    market_id,
    experiment,
    experiment_version,
    status as call_status,
    nullif(error_class, '') as error_class,
    nullif(error_message, '') as error_message,
    request_sha256,
    prompt_sha256,
    messages,
    answer,
    nullif(finish, '') as finish_reason,
    model_asked,
    nullif(model_answered, '') as model_answered,
    sample as sample_number,
    attempt as call_number,
    temperature,
    seed,
    prompt_tokens,
    completion_tokens,
    charged_tokens,
    cost_usd,
    tries as try_count,
    latency_seconds,
    asked_at
from source
