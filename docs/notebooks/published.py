"""What was published, explored: `marimo edit docs/notebooks/published.py` (the extra `notebook`, in `make setup` too).

Reads `data/published/current/<wing>/*.parquet` and nothing else; FORESHORE_PUBLISHED names another folder, such as
`data/world/published/current` after `make demo`. A build may publish meanwhile: rerun the first cell.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import os
    from pathlib import Path

    import altair as alt
    import duckdb
    import marimo as mo

    stores = [Path("data/published/current"), Path("data/world/published/current")]
    named = os.environ.get("FORESHORE_PUBLISHED")
    folder = Path(named) if named else next((store for store in stores if store.exists()), stores[0])
    published = duckdb.connect()
    published.execute("set TimeZone = 'UTC'")
    tables = {}  # name -> wing
    for _file in sorted(folder.glob("*/*.parquet")):
        tables[_file.stem] = _file.parent.name
        published.read_parquet(str(_file)).create_view(_file.stem)
    mo.md(f"**{len(tables)} tables** of {len(set(tables.values()))} wings in `{folder}`")
    return alt, folder, mo, published, tables


@app.cell
def _(mo, tables):
    chosen = mo.ui.dropdown(sorted(tables), value=min(tables, default=None), label="Table")
    chosen
    return (chosen,)


@app.cell
def _(chosen, mo, published):
    rows = published.sql(f'select * from "{chosen.value}" limit 200').arrow() if chosen.value else None
    mo.ui.table(rows.read_all().to_pylist() if rows is not None else [])
    return (rows,)


@app.cell
def _(published, tables):
    def records(sql, *needed):
        """Rows by column; none where a table that the query needs is not published."""
        if not set(needed) <= set(tables):
            return []
        found = published.execute(sql)
        return [dict(zip([c[0] for c in found.description], row, strict=True)) for row in found.fetchall()]

    return (records,)


@app.cell
def _(alt, mo, records):
    hindsight = records(
        """select protocol || ' ' || decision_window as line, strftime(to_timestamp(epoch), '%Y-%m-%d') as epoch_date,
               hindsight_share
           from preboundary_backtest_results
           where strategy = 'foreshore' and is_votable and hindsight_share is not null
           order by line, epoch""",
        "preboundary_backtest_results",
    )
    earned = alt.Chart(alt.Data(values=hindsight)).mark_line(point=True).encode(
        x=alt.X("epoch_date:T", title="epoch"),
        y=alt.Y("hindsight_share:Q", title="of hindsight", axis=alt.Axis(format=".0%")),
        color=alt.Color("line:N", title=""),
    )  # fmt: skip
    earned if hindsight else mo.md("No voting decision is published: `foreshore extract voting`, `foreshore build`.")
    return (hindsight,)


@app.cell
def _(alt, mo, records):
    values = records(
        """select csu_id, day::varchar as day, net_tvl_usd
           from csu_daily_panel
           where net_tvl_usd is not null
           order by all""",
        "csu_daily_panel",
    )
    tvl = alt.Chart(alt.Data(values=values)).mark_area().encode(
        x=alt.X("day:T", title="New York day"),
        y=alt.Y("net_tvl_usd:Q", title="net TVL, USD", axis=alt.Axis(format="~s")),
        color=alt.Color("csu_id:N", title=""),
    )  # fmt: skip
    tvl if values else mo.md("No lending day is published: `foreshore extract lending`, `foreshore build`.")
    return (values,)


if __name__ == "__main__":
    app.run()
