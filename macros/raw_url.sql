{#- Where raw parquet lands: `[storage] raw_url` of foreshore.toml, handed over in the environment. -#}
{% macro raw_url() -%}
    {{ env_var('FORESHORE_RAW', 'data/raw') }}
{%- endmacro %}
