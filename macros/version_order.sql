{#- What versions sort by: runs of digits as numbers, so that '10' comes after '9', and the rest as text. -#}
{% macro version_order(version) -%}
    array_to_string(list_transform(
        regexp_extract_all({{ version }}, '[0-9]+|[^0-9]+'),
        lambda part: case when regexp_full_match(part, '[0-9]+') then lpad(part, greatest(20, length(part))::integer, '0') else part end
    ), '')
{%- endmacro %}
