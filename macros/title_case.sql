{#- `aave_v3` as `Aave V3`. -#}
{% macro title_case(name) -%}
    array_to_string([upper(word[1]) || word[2:] for word in string_split({{ name }}, '_')], ' ')
{%- endmacro %}
