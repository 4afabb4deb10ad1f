{#-
    The stamp of a build, in schema `audit` of the build file itself: which invocations ran, every relation and test of the
    newest manifest, and each one's newest result. Publication believes nothing else: what did not run, ran on no rows, failed,
    or is older than what it reads is not published.
-#}
{% macro begin_audit() %}
    {% if execute and flags.WHICH in ('build', 'run', 'seed', 'snapshot', 'test', 'retry', 'clone') %}
        {% do run_query(audit_tables()) %}
        {% do run_query(audit_begun()) %}
    {% endif %}
{% endmacro %}


{% macro audit_tables() -%}
    create schema if not exists audit;
    create table if not exists audit.invocations (
        number bigint, invocation_id varchar, command varchar, arguments varchar, raw_url varchar,
        is_on_all_rows boolean, started_at timestamptz, finished_at timestamptz, raw_fingerprint varchar,
        is_simulated boolean
    );
    -- a build file of an earlier release has no such column
    alter table audit.invocations add column if not exists is_simulated boolean;
    create table if not exists audit.results (
        node_id varchar, number bigint, code varchar, status varchar, failures bigint
    );
    create table if not exists audit.nodes (
        node_id varchar, kind varchar, unit varchar, schema_name varchar, table_name varchar, materialized varchar,
        is_assembled boolean, code varchar, reads varchar[]
    );
{%- endmacro %}


{#- One transaction before any model: what is about to run has no result any more, so a kill leaves nothing that looks audited. -#}
{% macro audit_begun() -%}
    begin transaction;
    insert into audit.invocations
    select
        coalesce(max(number), 0) + 1,
        '{{ invocation_id }}',
        '{{ flags.WHICH }}',
        '{{ tojson(audit_arguments()) | replace("'", "''") }}',
        getvariable('foreshore_raw_url'),
        {{ not (invocation_args_dict.get('empty') or invocation_args_dict.get('sample')) }},
        now(),
        null,
        null,
        getvariable('foreshore_is_simulated')
    from audit.invocations;
    delete from audit.nodes;
    insert into audit.nodes {{ audit_nodes() }};
    delete from audit.results where list_contains({{ audit_list(selected_resources) }}, node_id);
    insert into audit.results
    select selected.node_id, (select max(number) from audit.invocations), nodes.code, 'begun', null
    from (select unnest({{ audit_list(selected_resources) }}) as node_id) as selected
    left join audit.nodes on selected.node_id = nodes.node_id;
    commit;
{%- endmacro %}


{#- Relations and tests of the manifest that dbt wrote for this invocation; unit tests stand nowhere else. -#}
{% macro audit_nodes() -%}
    with manifest as (
        select content::json as manifest
        from read_text('{{ flags.TARGET_PATH or "target" }}/manifest.json')
        where content::json ->> '$.metadata.invocation_id' = '{{ invocation_id }}'
    ),

    listed as (
        select unnest(json_extract(manifest, '$.nodes.*') || json_extract(manifest, '$.unit_tests.*')) as node
        from manifest
    )

    select
        node ->> '$.unique_id',
        node ->> '$.resource_type',
        coalesce(list_filter((node -> '$.fqn')::varchar[], lambda part: part in ('voting', 'lending', 'bars', 'markets'))[1], 'door'),
        node ->> '$.schema',
        coalesce(node ->> '$.alias', node ->> '$.name'),
        node ->> '$.config.materialized',
        coalesce((node ->> '$.config.meta.assembled')::boolean, false),
        node ->> '$.checksum.checksum',
        (node -> '$.depends_on.nodes')::varchar[]
    from listed
    where node ->> '$.resource_type' in ('model', 'seed', 'snapshot', 'test', 'unit_test')
{%- endmacro %}


{% macro audit_arguments() -%}
    {% set said = {} %}
    {% for name in ['select', 'exclude', 'selector', 'indirect_selection', 'resource_types', 'exclude_resource_types', 'empty', 'sample', 'full_refresh'] %}
        {% if invocation_args_dict.get(name) %}
            {% do said.update({name: invocation_args_dict[name] | string}) %}
        {% endif %}
    {% endfor %}
    {{ return(said) }}
{%- endmacro %}


{% macro audit_list(names) -%}
    [{% for name in names %}'{{ name }}'{{ ', ' if not loop.last }}{% endfor %}]::varchar[]
{%- endmacro %}


{#- What every node said; again one transaction, the last thing a build writes. -#}
{% macro end_audit(results) %}
    {% if execute and flags.WHICH in ('build', 'run', 'seed', 'snapshot', 'test', 'retry', 'clone') %}
        {% set said = [] %}
        {% for result in results %}
            {% do said.append({'node_id': result.node.unique_id, 'status': result.status | string, 'failures': result.failures}) %}
        {% endfor %}
        {% set ledger = adapter.get_relation(target.database, target.schema ~ '_staging', 'stg_extract__ledger') %}
        {% do run_query(audit_finished(said, ledger)) %}
        {% do say_failing_rows(results) %}
        {% do say_gates() %}
    {% endif %}
{% endmacro %}


{% macro audit_finished(said, ledger) -%}
    begin transaction;
    create or replace temporary table said as
    select unnest(
        from_json(
            '{{ tojson(said) | replace("'", "''") }}', '[{"node_id": "VARCHAR", "status": "VARCHAR", "failures": "BIGINT"}]'
        ),
        recursive := true
    );
    -- a unit test is nowhere among the selected resources, so it has not begun either
    delete from audit.results where node_id in (select said.node_id from said);
    insert into audit.results
    select said.node_id, invocations.number, nodes.code, said.status, said.failures
    from said
    inner join audit.invocations on invocations.invocation_id = '{{ invocation_id }}'
    left join audit.nodes on said.node_id = nodes.node_id;
    update audit.invocations set finished_at = now(){% if ledger %}, raw_fingerprint = (
        select md5(string_agg(load_id, ' ' order by load_id)) from (select distinct load_id from {{ ledger }})
    ){% endif %}

    where invocation_id = '{{ invocation_id }}';
    commit;
{%- endmacro %}
