"""Pruning: what nobody reads goes, what tables are built from stays, and nothing happens without `--apply`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from extract.integrity import audit, prepare
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, FAILED, LEDGER_SCHEMA, LEDGER_TABLE, LedgerRow, Partition, ledger_table, now
from extract.prune import plan, prune
from operate.upkeep import prune_command

SCHEMA = pa.schema([("partition_id", pa.string()), ("value", pa.int64())])
LATER = timedelta(days=1)


def put(lake: Lake, source: str, table: str, value: int, *keys: str, status: str = COMPLETE) -> str:
    rows = [LedgerRow(Partition(source, "t", key, "w"), status, "f", "r", now(), now(), rows=1) for key in keys]
    names = [row.partition.partition_id for row in rows]
    told = pa.table({"partition_id": names, "value": [value] * len(names)}, schema=SCHEMA)
    return land(lake, source, {table: told, LEDGER_TABLE: ledger_table(rows)})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(str(tmp_path / "raw"))
    with made.lock():
        prepare(made, {"states": SCHEMA, "polymarket_pages": SCHEMA, "polymarket_markets": SCHEMA, "bars": SCHEMA})
        put(made, "voting", "states", 1, "a", "b")
        put(made, "voting", "states", 2, "b", status=FAILED)
        put(made, "voting", "states", 3, "b")
        put(made, "markets", "polymarket_pages", 4, "day")
        put(made, "markets", "polymarket_markets", 5, "day")
        put(made, "bars", "bars", 6, "month")
        put(made, "bars", "bars", 7, "month")
    return made


def values(lake: Lake, table: str) -> list[int]:
    return [row["value"] for row in lake.read_committed(table, SCHEMA).to_pylist()]


def test_what_nobody_reads_goes_and_the_rest_stays(lake: Lake) -> None:
    moment = now() + LATER
    ledger = lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA).drop_columns(["load_id", "committed_at"])
    going = plan(lake, moment)
    assert [(one.wing, one.table, one.rows, one.of_rows) for one in going] == [
        ("voting", "states", 1, 2),
        ("voting", "states", 1, 1),
        ("markets", "polymarket_pages", 1, 1),
    ]
    with lake.lock():
        prune(lake, going)
    assert values(lake, "states") == [1, 3] and values(lake, "polymarket_pages") == []
    assert values(lake, "polymarket_markets") == [5] and values(lake, "bars") == [6, 7], "corrections are results"
    assert lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA).drop_columns(["load_id", "committed_at"]).equals(ledger)
    assert audit(lake) == [] and plan(lake, moment) == []


def test_what_is_younger_or_of_another_wing_is_left_alone(lake: Lake) -> None:
    assert plan(lake, datetime(2020, 1, 1, tzinfo=UTC)) == []
    assert {one.wing for one in plan(lake, now() + LATER, ["markets"])} == {"markets"}


def test_the_command_only_says_what_would_go(lake: Lake, tmp_path: Path) -> None:
    config = tmp_path / "foreshore.toml"
    config.write_text(f'[storage]\nroot = "{tmp_path}"\nraw_url = "{lake.path}"\n')
    day = f"{now() + LATER + LATER:%Y-%m-%d}"
    asked = ["--before", day, "--json", "--config", str(config)]
    done = CliRunner().invoke(prune_command, asked)
    assert done.exit_code == 0 and not json.loads(done.output)["is_applied"]
    assert values(lake, "states") == [1, 1, 2, 3]
    done = CliRunner().invoke(prune_command, [*asked, "--apply"])
    assert done.exit_code == 0 and [row["rows"] for row in json.loads(done.output)["going"]] == [1, 2]
    assert values(lake, "states") == [1, 3]
    assert CliRunner().invoke(prune_command, [*asked, "--apply"]).exit_code == 3
    wrong = CliRunner().invoke(prune_command, ["--before", "yesterday", "--config", str(config)])
    assert "2026-01-31" in str(wrong.exception)
