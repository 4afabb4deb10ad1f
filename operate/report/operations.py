"""The page of whoever keeps the house: what is complete, how fresh, which gates fail, how it grows and how fast."""

from __future__ import annotations

from textwrap import dedent

from operate.report.charts import BAD, GOOD, OPEN, areas, bars
from operate.report.page import Figure, Grid, Note, Page, Section, columns
from operate.report.reading import Reader

_LEDGER = dedent("""\
    select source || ' ' || table_group as kind, status, count(*) as partitions
    from extract_ledger
    where is_current or status <> 'complete'
    group by all
    order by kind, status""")
_FRESH = dedent("""\
    select source, table_group, complete_count, ever_failed_count, newest_block, newest_fetch_at, newest_commit_at
    from data_freshness
    order by source, table_group""")
_GATES = dedent("""\
    select wing || ' ' || gate as gate, verdict, count(*) as keys
    from gate_verdicts
    where verdict <> 'ok'
    group by all
    order by gate""")
_FAILING = dedent("""\
    select wing, gate_key, gate, verdict, left_out_of, evidence, cure
    from gate_verdicts
    where verdict = 'fail'
    order by wing, gate, gate_key
    limit 100""")
_GROWTH = dedent("""\
    with landed as (
        select date_trunc('{grain}', committed_at) as landed_at, source, sum(byte_count) as byte_count
        from extract_ledger
        where status = 'complete' and byte_count is not null
        group by all
    )

    select
        moments.landed_at, sources.source,
        sum(coalesce(landed.byte_count, 0)) over (partition by sources.source order by moments.landed_at) as total_bytes
    from (select distinct landed_at from landed) as moments
    cross join (select distinct source from landed) as sources
    left join landed using (landed_at, source)
    order by landed_at, source""")
_SPAN = "select epoch(max(committed_at)) - epoch(min(committed_at)) as seconds from extract_ledger"
_SPEED = dedent("""\
    select
        run_id, source, count(*) as partitions, sum(row_count) as row_count, sum(call_count) as call_count,
        round(epoch(max(finished_at)) - epoch(min(started_at)), 1) as seconds,
        round(sum(row_count) / nullif(epoch(max(finished_at)) - epoch(min(started_at)), 0), 1) as rows_per_second
    from extract_ledger
    where status = 'complete'
    group by run_id, source
    order by max(finished_at) desc
    limit 20""")

DAYS_FROM = 3 * 86_400  # seconds of ledger from which growth is shown by the day


def page(read: Reader) -> Page:
    lead = "What was extracted and built, what failed with its cure, and how the store grows."
    sections = [
        Section("Gates", _gates(read)),
        Section("Extraction", _extraction(read)),
        Section("Growth", _growth(read)),
    ]
    return Page("operations", "door", "Operations", lead, sections)


def _gates(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    failing = read.rows(_FAILING)
    if failing:
        shown = columns(
            ("wing", "wing"),
            ("gate_key", "key"),
            ("gate", "gate"),
            ("left_out_of", "left out of"),
            ("evidence", "evidence"),
            ("cure", "cure"),
        )
        reading = (
            "Keys that failed are left out of what stands beside them; the rest goes on. At most a hundred are shown."
        )
        found.append(Grid("Failing keys", reading, shown, failing, ["gate_verdicts"], _FAILING))
    else:
        found.append(Note("No key fails", "Every gate of every wing lets its keys through; warnings are below."))
    if rows := read.rows(_GATES):
        domain = {
            name: colour for name, colour in (("warn", OPEN), ("fail", BAD)) if any(r["verdict"] == name for r in rows)
        }
        chart = bars(rows, "keys:Q", "gate:N", "verdict", x_title="keys", y_title="", y_format="", domain=domain)
        chart["height"] = max(90, 22 * len({row["gate"] for row in rows}))
        found.append(
            Figure("Verdicts", "Keys by gate that were warned about or failed.", chart, ["gate_verdicts"], _GATES)
        )
    return found


def _extraction(read: Reader) -> list[Figure | Grid | Note]:
    found: list[Figure | Grid | Note] = []
    if rows := read.rows(_LEDGER):
        domain = {"complete": GOOD} | dict.fromkeys(sorted({r["status"] for r in rows} - {"complete"}), BAD)
        chart = bars(
            rows, "partitions:Q", "kind:N", "status", x_title="partitions", y_title="", y_format="", domain=domain
        )
        chart["height"] = max(90, 22 * len({row["kind"] for row in rows}))
        found.append(Figure("Partitions", "The ledger: one partition is what lands whole or not at all.", chart,
                            ["extract_ledger"], _LEDGER))  # fmt: skip
    if rows := read.rows(_FRESH):
        shown = columns(
            ("source", "wing"),
            ("table_group", "kind"),
            ("complete_count", "complete", "count"),
            ("ever_failed_count", "ever failed", "count"),
            ("newest_block", "newest block", "count"),
            ("newest_fetch_at", "fetched, UTC", "time"),
            ("newest_commit_at", "committed, UTC", "time"),
        )
        found.append(Grid("Freshness", "The newest rows of each kind.", shown, rows, ["data_freshness"], _FRESH))
    if rows := read.rows(_SPEED):
        shown = columns(
            ("run_id", "run"),
            ("source", "wing"),
            ("partitions", "partitions", "count"),
            ("row_count", "rows", "count"),
            ("call_count", "calls", "count"),
            ("seconds", "seconds", "number"),
            ("rows_per_second", "rows a second", "number"),
        )
        found.append(Grid("Speed", "The newest twenty runs, from first start to last end.", shown, rows,
                          ["extract_ledger"], _SPEED))  # fmt: skip
    return found


def _growth(read: Reader) -> list[Figure | Grid | Note]:
    span = read.rows(_SPAN)
    grain = "day" if span and (span[0]["seconds"] or 0) > DAYS_FROM else "minute"
    growth = _GROWTH.format(grain=grain)
    rows = read.rows(growth)
    if not rows:
        return []
    chart = areas(rows, "landed_at:T", "total_bytes:Q", "source", x_title="UTC", y_title="bytes landed")
    reading = f"Bytes landed so far, by wing and {grain}."
    return [Figure("Storage", reading, chart, ["extract_ledger"], growth)]
