"""Days of market runs: one is run in earnest on the simulated source, the others are copies: other ids and dates."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.markets.runs import DAY, run_once
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_SCHEMA, LEDGER_TABLE, LedgerRow, Partition, ledger_table
from extract.markets.tables import POLYMARKET_TABLES, RESOLUTIONS
from operate.markets.demo import FIRST_END, simulated_markets

IDS_PER_ANSWER = 100  # markets of one partition of ends
COPIED = ("polymarket_pages", "polymarket_markets", LEDGER_TABLE)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

# the day that was run is moved by `$days`; an id gets the day's number behind it
_MARKETS = """
    insert into processed_markets by name
    select * replace (
        moved(run_id) as run_id, market_id || $suffix as market_id, event_id || $suffix as event_id,
        snapshot_at + to_days($days) as snapshot_at, end_at + to_days($days) as end_at,
        replace(moved(payload::varchar), market_id, market_id || $suffix)::json as payload
    )
    from first_markets
"""
_RUNS = """
    insert into processing_runs by name
    select * replace (
        moved(run_id) as run_id, run_date + $days::int as run_date, target_date + $days::int as target_date,
        snapshot_at + to_days($days) as snapshot_at
    )
    from first_runs
"""
_ENDS = """
    insert into {table} by name
    select
        market_id, 'resolved' as status, (hash(market_id) % 100 < coalesce(midpoint, 0.5) * 100)::int as label,
        end_at + interval 6 hour as resolved_at, end_at + interval 1 day as known_at {more}
    from processed_markets where run_id = $run
"""


def land_markets(root: Path, markets: int, days: int) -> int:
    """A raw zone and a run ledger of so many days under `root`, all but the last week's ended; returns the markets."""
    with simulated_markets(root / "made", 1, markets) as url:
        _, count, _ = run_once(root / "first", url, None)
    first, lake = root / "first", Lake(str(root / "raw"))
    shutil.copytree(first / "raw", root / "raw")
    shutil.copytree(first / "ledger", root / "ledger")
    raw = {name: _committed(first, name) for name in COPIED}
    with duckdb.connect(str(root / "ledger" / "markets.duckdb")) as ledger:
        ledger.execute("set TimeZone = 'UTC'")
        ledger.execute(f"create temp table first_markets as from processed_markets where run_id = '{DAY}-w7'")
        ledger.execute(f"create temp table first_runs as from processing_runs where run_id = '{DAY}-w7'")
        for number in range(days):
            if number:
                _copy_day(ledger, lake, raw, number)
            if number >= 7:
                _end_day(ledger, lake, number - 7)
        ledger.execute("checkpoint")
    return count * days


def _committed(root: Path, name: str) -> pa.Table:
    schema = LEDGER_SCHEMA if name == LEDGER_TABLE else POLYMARKET_TABLES[name]
    return Lake(str(root / "raw")).read_committed(name, schema).select(schema.names)


def _run_id(number: int) -> str:
    return f"{DAY + timedelta(days=number)}-w7"


def _moves(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """A macro that moves the dates in a text; ends step aside first, for one day's run is another day's end."""
    run, end = DAY + timedelta(days=number), FIRST_END + timedelta(days=number)
    aside = f"replace(replace(t, '{FIRST_END}', '@end'), '{DAY}', '{run}')"
    connection.execute(f"create or replace temp macro moved(t) as replace({aside}, '@end', '{end}')")


def _copy_day(ledger: duckdb.DuckDBPyConnection, lake: Lake, raw: dict[str, pa.Table], number: int) -> None:
    named = {"days": number, "suffix": f"{number:04d}"}
    _moves(ledger, number)
    ledger.execute(_RUNS, {"days": number})
    ledger.execute(_MARKETS, named)
    made = {}
    for name, table in raw.items():
        changes = ["moved(partition_id) as partition_id"]
        if name == LEDGER_TABLE:
            changes += ["moved(partition_key) as partition_key", "moved(run_id) as run_id"]
        else:
            changes += [f"run_date + {number} as run_date", f"observed_at + to_days({number}) as observed_at"]
        if name == "polymarket_markets":
            changes += [f"market_id || '{number:04d}' as market_id", f"event_id || '{number:04d}' as event_id"]
            changes += [f"end_at + to_days({number}) as end_at", f"end_date + {number} as end_date"]
        ledger.register("rows_of_the_day", table)
        moved = ledger.sql(f"select * replace ({', '.join(changes)}) from rows_of_the_day").to_arrow_table()
        made[name] = moved.select(table.column_names).cast(table.schema)
    land(lake, "markets", made)


def _end_day(ledger: duckdb.DuckDBPyConnection, lake: Lake, number: int) -> None:
    """Every market of a day resolved: in the ledger, and as the source's answers in the raw zone."""
    run = {"run": _run_id(number)}
    ledger.execute(_ENDS.format(table="market_outcomes", more=", end_at + interval 1 day as checked_at"), run)
    ledger.execute(_ENDS.format(table="market_answers", more=", null as winning_token_id"), run)
    asked = "select market_id, first_token_id, end_at, label from processed_markets join market_outcomes using "
    ended = ledger.execute(f"{asked} (market_id) where run_id = $run order by market_id", run).fetchall()
    known = datetime.combine(FIRST_END + timedelta(days=number + 1), time(7), UTC)
    rows, partitions = [], []
    for start in range(0, len(ended), IDS_PER_ANSWER):
        key = f"{ended[start][0]}..{min(start + IDS_PER_ANSWER, len(ended))}"
        partition = Partition("markets", "resolutions", key, f"{known:%Y-%m-%dT%H%M%S}")
        part = ended[start : start + IDS_PER_ANSWER]
        partitions.append(LedgerRow(partition, COMPLETE, "copied", "bench", NOW, NOW, rows=len(part), calls=1))
        rows += [
            {"partition_id": partition.partition_id, "market_id": name, "status": "resolved", "reason": "one_hot"}
            | {"label": label, "winning_token_id": token, "is_closed": True, "resolved_at": end_at, "end_at": end_at}
            | {"body": "{}", "observed_at": known, "fetched_at": known}
            for name, token, end_at, label in part
        ]
    tables = {"polymarket_resolutions": pa.Table.from_pylist(rows, schema=RESOLUTIONS)}
    land(lake, "markets", {**tables, LEDGER_TABLE: ledger_table(partitions)})
