{#- The value of a constant in the `thresholds` seed. -#}
{% macro threshold(name) -%}
    (select value from {{ ref('thresholds') }} where threshold = '{{ name }}')
{%- endmacro %}
