{#- A raw integer amount in whole tokens; null where either is unknown. -#}
{% macro scaled(raw, decimals) -%}
    ({{ raw }})::double / pow(10, {{ decimals }})
{%- endmacro %}
