{#- Whole seconds from one timestamp to a later one. -#}
{% macro seconds_between(start, finish) -%}
    date_diff('second', {{ start }}, {{ finish }})
{%- endmacro %}
