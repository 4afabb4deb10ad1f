{#- File names under the raw zone whose hash or presence differs from what their load package recorded. -#}
{% macro raw_files_not_as_landed() -%}
    with committed as (
        select load_id
        from read_json('{{ raw_url() }}/_dlt_loads/*.jsonl', format = 'newline_delimited', columns = {load_id: 'VARCHAR', status: 'INTEGER'})
        where status = 0
    ),

    landed as (
        select {{ load_id('filename') }} as load_id, table_name, sha256
        from read_parquet('{{ raw_url() }}/extract_files/*.parquet', filename = true)
        where {{ load_id('filename') }} in (select load_id from committed)
    ),

    found as (
        select
            {{ load_id('filename') }} as load_id,
            parse_path(filename)[-2] as table_name,
            filename,
            sha256(content) as sha256
        from read_blob('{{ raw_url() }}/*/*.parquet')
    )

    select coalesce(found.filename, landed.table_name || ' of load ' || landed.load_id) as file_name
    from landed
    left join found on landed.load_id = found.load_id and landed.table_name = found.table_name
    where found.sha256 is distinct from landed.sha256
    order by 1
{%- endmacro %}
