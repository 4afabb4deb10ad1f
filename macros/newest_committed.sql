{#- Rows of a raw table from the newest committed load of each partition: nothing half landed, nothing twice. -#}
{% macro newest_committed(table) -%}
    select raw_rows.*
    from {{ source('raw', table) }} as raw_rows
    inner join {{ ref('stg_extract__partitions') }} as partitions
        on
            raw_rows.partition_id = partitions.partition_id
            and {{ load_id('raw_rows.filename') }} = partitions.load_id
{%- endmacro %}

{#- The load that a landed file belongs to: `<seconds>.<fraction>.<file id>.parquet`. -#}
{% macro load_id(filename) -%}
    regexp_extract({{ filename }}, '([^/]+)\.[^./]+\.parquet$', 1)
{%- endmacro %}
