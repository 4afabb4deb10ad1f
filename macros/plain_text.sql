{#- What a stranger wrote, fit to be shown: no control or format characters, at most 24 characters; null if nothing is left. -#}
{% macro plain_text(column) -%}
    nullif(left(trim(regexp_replace({{ column }}, '[\p{C}\p{Zl}\p{Zp}]', '', 'g')), 24), '')
{%- endmacro %}
