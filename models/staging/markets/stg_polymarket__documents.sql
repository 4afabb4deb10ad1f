with raw_documents as (
    {{ newest_committed('polymarket_documents') }}
)

select
    run_date,
    window_days,
    market_id,
    document_number,
    query,
    title,
    source,
    url,
    language,
    text,
    published_at,
    observed_at,
    fetched_at
from raw_documents
