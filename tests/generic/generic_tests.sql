{% test unique_grain(model, columns) %}
    {#- One row per combination of `columns`, none of them null. Shows the offending keys and how often they occur. -#}
    select
        {{ columns | join(', ') }},
        count(*) as occurrences
    from {{ model }}
    group by all
    having count(*) > 1 or {{ columns | join(' is null or ') }} is null
{% endtest %}

{% test in_range(model, bounds, keys) %}
    {#- Every row fulfils every condition in `bounds`; a null condition is a failure. Shows keys and the condition broken. -#}
    {% for bound in bounds %}
        select
            {{ keys | join(', ') }},
            '{{ bound | replace("'", "''") }}' as broken
        from {{ model }}
        where ({{ bound }}) is not true
        {{ 'union all' if not loop.last }}
    {% endfor %}
{% endtest %}

{% test not_after(model, earlier, later, keys, where=none) %}
    {#- The law of point in time: `earlier` is never after `later`. Shows keys and both values. -#}
    select
        {{ keys | join(', ') }},
        {{ earlier }},
        {{ later }}
    from {{ model }}
    where {{ earlier }} > {{ later }} {{ 'and ' ~ where if where }}
{% endtest %}

{% test reconciles(model, left, right, keys, scale=0, where=none) %}
    {#-
        Two ways to the same number agree: exactly, or up to the rounding of doubles of the size of `scale` (1e-9 of it;
        sums of a few thousand doubles lose less than 1e-12). Shows keys and both numbers.
    -#}
    select
        {{ keys | join(', ') }},
        {{ left }} as left_value,
        {{ right }} as right_value
    from {{ model }}
    where abs({{ left }} - {{ right }}) > 1e-9 * ({{ scale }}) {{ 'and ' ~ where if where }}
{% endtest %}

{% test share_between(model, condition, low, high, by) %}
    {#- The share of rows fulfilling `condition` lies in [low, high] in every group of `by`. Shows group and share. -#}
    select
        {{ by | join(', ') }},
        avg(case when {{ condition }} then 1.0 else 0.0 end) as share
    from {{ model }}
    group by all
    having avg(case when {{ condition }} then 1.0 else 0.0 end) not between {{ low }} and {{ high }}
{% endtest %}

{% test no_gaps(model, column, step, by) %}
    {#- `column` advances by `step` within each group of `by`. Shows both sides of each gap. -#}
    select * from (
        select
            {{ by | join(', ') }},
            {{ column }} as value,
            lead({{ column }}) over (partition by {{ by | join(', ') }} order by {{ column }}) as next_value
        from (select distinct {{ by | join(', ') }}, {{ column }} from {{ model }})
    )
    where next_value - value <> {{ step }}
{% endtest %}
