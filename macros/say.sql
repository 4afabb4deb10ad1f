{#- The keys behind a failing test: dbt itself only counts them. -#}
{% macro say_failing_rows(results) %}
    {% for result in results if result.node.resource_type == 'test' and result.status | string in ('fail', 'warn') %}
        {% set rows = run_query('select * from (' ~ result.node.compiled_code ~ ') limit 5') %}
        {% do log(result.status | string ~ ' ' ~ result.node.name ~ ': ' ~ result.failures ~ ' rows' ~ (', the first 5:' if result.failures > 5 else ':'), info=true) %}
        {% for row in rows %}
            {% do log('  ' ~ describe_row(row), info=true) %}
        {% endfor %}
    {% endfor %}
{% endmacro %}


{% macro describe_row(row) -%}
    {% set parts = [] %}
    {% for name, value in row.items() %}
        {% do parts.append(name ~ ' ' ~ value) %}
    {% endfor %}
    {{ return(parts | join(', ')) }}
{%- endmacro %}


{#- Keys that gates failed, with what cures them: they stop nothing, they are left out. -#}
{% macro say_gates() %}
    {% if adapter.get_relation(target.database, target.schema, 'gate_verdicts') %}
        {% set failing = run_query(
            "select wing, gate, left_out_of, count(*) as keys, min(gate_key) as gate_key, min_by(evidence, gate_key) as evidence, "
            ~ "min_by(cure, gate_key) as cure from " ~ target.schema ~ ".gate_verdicts where verdict = 'fail' group by all order by all"
        ) %}
        {% for row in failing %}
            {% do log(
                'gate failed: ' ~ row['wing'] ~ ' ' ~ row['gate_key'] ~ (' (and ' ~ (row['keys'] - 1) ~ ' more keys)' if row['keys'] > 1 else '')
                ~ ' ' ~ row['gate'] ~ ', left out of ' ~ row['left_out_of'] ~ ': ' ~ row['evidence'] ~ '; cure: ' ~ row['cure'], info=true
            ) %}
        {% endfor %}
    {% endif %}
{% endmacro %}
