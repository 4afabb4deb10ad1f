{#- What every gates model ends in: a verdict per key and gate, from how many problems there are and how bad one is. -#}
{% macro gate_columns(wing, gates) -%}
    select
        '{{ wing }}' as wing,
        concat_ws('/', subject, nullif(period, ''), nullif(part, '')) as gate_key,
        gate,
        case when problem_count > 0 then severity else 'ok' end as verdict,
        case when problem_count > 0 then evidence end as evidence,
        case when problem_count > 0 and severity = 'fail' then scope else 'nothing' end as left_out_of,
        case when problem_count > 0 then cure end as cure,
        subject,
        period,
        part,
        problem_count::bigint as problem_count,
        measured::double as measured,
        allowed::double as allowed
    from {{ gates }}
{%- endmacro %}

{#- What a wing's partitions that fail now (and were never complete) look like as gates; `cure` and the keys are SQL. -#}
{% macro gates_of_failing_partitions(sources, scope, subject, period, part, cure) -%}
    select
        {{ subject }} as subject,
        {{ period }} as period,
        {{ part }} as part,
        'extracted_' || table_group as gate,
        '{{ scope }}' as scope,
        'fail' as severity,
        1 as problem_count,
        max(attempts) as measured,
        0 as allowed,
        max_by(coalesce(error_class, '') || ': ' || coalesce(error_message, ''), committed_at) as evidence,
        {{ cure }} as cure
    from {{ ref('stg_extract__ledger') }}
    where source in ({{ sources }})
    group by partition_id, table_group, partition_key, partition_window
    having not bool_or(status = 'complete')
{%- endmacro %}
