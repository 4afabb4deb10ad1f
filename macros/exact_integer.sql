{#- An integer of the chain from its exact text: a decimal of 38 digits, null beyond them (see `raw_status`). -#}
{% macro exact_integer(text) -%}
    try_cast({{ text }} as decimal(38, 0))
{%- endmacro %}

{#- `exact`, or `too_large` where one of the texts holds more than 38 digits: its decimal is null, its scaled amount is not. -#}
{% macro raw_status(texts) -%}
    if(
        {% for text in texts %}({{ text }} is not null and {{ exact_integer(text) }} is null){{ ' or ' if not loop.last }}{% endfor %},
        'too_large', 'exact'
    )
{%- endmacro %}

{#- The exact sum of a decimal(38, 0) column; null where it needs more than 38 digits, instead of an error for the build. -#}
{% macro exact_sum(column, where=none) -%}
    {%- set high = "sum(" ~ column ~ "::hugeint // 1000000000000000000)" ~ (" filter (where " ~ where ~ ")" if where else "") -%}
    {%- set low = "sum(" ~ column ~ "::hugeint % 1000000000000000000)" ~ (" filter (where " ~ where ~ ")" if where else "") -%}
    case
        when abs({{ high }} + {{ low }} // 1000000000000000000) < 100000000000000000000
            then try_cast({{ high }} * 1000000000000000000 + {{ low }} as decimal(38, 0))
    end
{%- endmacro %}
