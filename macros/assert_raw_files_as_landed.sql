{#-
    Stops a build without raw files, or whose raw files are not byte for byte what was landed. Runs before any model, because a
    damaged parquet would otherwise surface as an unreadable glob, and an edited one not at all.
-#}
{% macro assert_raw_files_as_landed() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test') %}
        {% set landed = run_query("select count(*) from glob('" ~ raw_url() ~ "/_dlt_loads/*.jsonl')") %}
        {% if landed.columns[0].values()[0] == 0 %}
            {{ exceptions.raise_compiler_error(
                "nothing has been extracted to " ~ raw_url() ~ " yet: run `make extract` first. What the embedded world landed has its own store: `foreshore build` finds it."
            ) }}
        {% endif %}
        {% set damaged = run_query(raw_files_not_as_landed()) %}
        {% if damaged | length > 0 %}
            {% set names = damaged.columns[0].values() | join(', ') %}
            {{ exceptions.raise_compiler_error(
                "raw files are not as they were landed (edited, damaged or deleted): " ~ names
                ~ ". Delete them and run `foreshore extract` again: their partitions are fetched anew."
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}
