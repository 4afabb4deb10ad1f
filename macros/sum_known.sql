{#- A sum over some rows: zero where rows are known but none is among them, null where nothing is known at all. -#}
{% macro sum_known(column, where) -%}
    coalesce(sum({{ column }} order by {{ column }}) filter (where {{ where }}), if(count({{ column }}) > 0, 0, null))
{%- endmacro %}

{#- What an extracted day shows: zero without any row, the value with; null for a day that was not extracted. -#}
{% macro shown(column, count='reserve_count') -%}
    case when is_extracted then if({{ count }} is null, 0, {{ column }}) end
{%- endmacro %}
