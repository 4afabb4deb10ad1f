{#- Sum of whole decimal(38, 0) values; null where it exceeds 38 digits, for which `sum` alone would raise an error. -#}
{% macro wide_sum(column) -%}
    {%- set half = '10000000000000000000' -%}
    {%- set low = 'sum(' ~ column ~ '::hugeint % ' ~ half ~ ')' -%}
    try_cast(
        (sum({{ column }}::hugeint // {{ half }}) + {{ low }} // {{ half }})::varchar
        || lpad(({{ low }} % {{ half }})::varchar, 19, '0') as decimal(38, 0)
    )
{%- endmacro %}
