"""Proof of honesty: whatever happens after a decision block, nothing that was decided with changes by a single bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from extract.lake import Lake
from extract.land import land
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE
from extract.voting.submissions import SUBMITTED_SCHEMA, SUBMITTED_TABLE
from extract.voting.tables import VOTING_TABLES
from tests.line_fixtures import Line

pytestmark = [pytest.mark.node, pytest.mark.slow]
SCHEMAS: dict[str, pa.Schema] = {**VOTING_TABLES, LEDGER_TABLE: LEDGER_SCHEMA}
DECIDED = {
    "preboundary_features": "protocol, voter_id, epoch, decision_window, gauge_address",
    "preboundary_proxies": "protocol, voter_id, epoch, decision_window, gauge_address, measure",
    "preboundary_forecasts": "protocol, voter_id, epoch, decision_window, gauge_address, scenario_set, scenario",
    "preboundary_recommendations": "protocol, voter_id, epoch, decision_window",
    "preboundary_recommended_votes": "protocol, voter_id, epoch, decision_window, gauge_address",
}
Row = dict[str, Any]
Rows = Mapping[str, list[Row]]
MODELS = " ".join(f"+{name}" for name in DECIDED)


def raw_rows(line: Line) -> dict[str, list[Row]]:
    lake = Lake(str(line.folder / "raw"))
    return {
        name: lake.read_committed(name, schema).drop_columns("load_id").to_pylist() for name, schema in SCHEMAS.items()
    }


def rebuilt(line: Line, folder: Path, rows: Rows, *command: str) -> tuple[Line, str]:
    """A lake of its own with these raw rows, and what dbt said when it built the decisions on it."""
    made = Line(line.world, folder)
    lake = Lake(str(folder / "raw"))
    lake.declare({**SCHEMAS, SUBMITTED_TABLE: SUBMITTED_SCHEMA})
    land(lake, "voting", {name: pa.Table.from_pylist(rows[name], schema=SCHEMAS[name]) for name in SCHEMAS})
    made.configure()
    wanted = command or ("build", "--exclude-resource-type", "test", "unit_test", "--select", *MODELS.split())
    done = made.dbt(*wanted)
    if not command:
        assert done.returncode == 0, done.stdout[-3000:]
    return made, done.stdout


def decided(line: Line, until: Any) -> dict[str, list[Any]]:
    """Every decided row up to a decision time, floats and all."""
    return {
        name: line.query(f"select * from {name} where decision_at <= '{until.isoformat()}' order by {keys}")
        for name, keys in DECIDED.items()
    }


@pytest.fixture(scope="module")
def moment(built_line: Line) -> tuple[int, int, Any]:
    """The third epoch, its T-5 decision block and time: two epochs of labels lie before, much lies after."""
    ((epoch, block, at),) = built_line.query(
        "select epoch, decision_block, max(decision_at) from decision_points where decision_window = 'T-5' "
        "and epoch = (select min(epoch) + 2 * 604800 from decision_points) group by all"
    )
    return epoch, block, at


def changed(rows: Rows, change: Callable[[str, Row], Row | None]) -> dict[str, list[Row]]:
    return {
        name: [new for row in table if (new := change(name, dict(row))) is not None] for name, table in rows.items()
    }


def is_after(name: str, row: Row, block: int) -> bool:
    place = row.get("block_number") if name == "voting_events" else row.get("observed_block")
    return place is not None and place > block


def scaled(row: Row, column: str, factor: int) -> None:
    if row.get(column) is not None:
        row[column] = str(int(row[column]) * factor + 11)


def noise(name: str, row: Row) -> Row:
    """The same row with other numbers: votes, rewards, prices, events."""
    factors = {"votes_raw": 3, "supply_raw": 4, "power_raw": 2, "reward_raw": 5, "amount_raw": 7, "total_after_raw": 2}
    for column, factor in factors.items():
        scaled(row, column, factor)
    if name == "voting_prices" and row["price_usd"] is not None:
        row["price_usd"] *= 1.7
    return row


def test_changing_everything_after_the_decision_changes_nothing(
    built_line: Line, moment: tuple[int, int, Any], tmp_path: Path
) -> None:
    _, block, at = moment
    rows = raw_rows(built_line)
    touched = sum(is_after(name, row, block) for name, table in rows.items() for row in table)
    assert touched > 500, "there is no future to change: the test would be blind"
    future, _ = rebuilt(
        built_line, tmp_path, changed(rows, lambda name, row: noise(name, row) if is_after(name, row, block) else row)
    )
    before = decided(built_line, at)
    assert all(len(table) > 5 for table in before.values())
    assert decided(future, at) == before
    late = "select * from preboundary_truth_labels order by all"
    assert future.query(late) != built_line.query(late), "the noise did not reach the labels: the test is blind"


@pytest.mark.long
def test_deleting_everything_after_the_decision_changes_nothing(
    built_line: Line, moment: tuple[int, int, Any], tmp_path: Path
) -> None:
    epoch, block, at = moment
    ended = ("boundary_block", "flip_block", "flip_at", "flip_transaction_hash", "truth_block", "truth_at")
    ended += ("last_votable_block", "last_votable_at")

    def cut(name: str, row: Row) -> Row | None:
        if is_after(name, row, block) or (name == "voting_epochs" and row["epoch"] > epoch):
            return None
        if name == "voting_epochs" and row["epoch"] == epoch:
            row |= dict.fromkeys(ended) | {"status": "open"}
        return row

    past, _ = rebuilt(built_line, tmp_path, changed(raw_rows(built_line), cut))
    assert decided(past, at) == decided(built_line, at)


@pytest.mark.long
def test_changing_a_row_just_before_the_decision_moves_it(
    built_line: Line, moment: tuple[int, int, Any], tmp_path: Path
) -> None:
    """The positive control: without it the tests above could be blind."""
    epoch, block, at = moment

    def touch(name: str, row: Row) -> Row:
        tables = ("voting_gauges", "voting_bribes", "voting_rewards")
        if name in tables and row["epoch"] == epoch and row["observed_block"] == block:
            for column in ("votes_raw", "supply_raw", "reward_raw"):
                scaled(row, column, 2)
        return row

    other, _ = rebuilt(built_line, tmp_path, changed(raw_rows(built_line), touch))
    after, before = decided(other, at), decided(built_line, at)
    assert [name for name in DECIDED if after[name] == before[name]] == []


@pytest.mark.long
def test_a_planted_leak_fails_the_gates(built_line: Line, moment: tuple[int, int, Any], tmp_path: Path) -> None:
    """Final state read as if it had been seen five minutes before: the gate falls, and no decision is made on it."""
    epoch, _, _ = moment
    rows = raw_rows(built_line)
    keys = {
        "voting_gauges": ("gauge_address", "votes_raw"),
        "voting_rewards": ("bribe_address", "token_address", "reward_raw"),
    }
    final = {
        name: {
            (row["protocol"], *(row[k] for k in columns[:-1])): row[columns[-1]]
            for row in rows[name]
            if row["epoch"] == epoch and row["decision_window"] == "boundary"
        }
        for name, columns in keys.items()
    }

    def leak(name: str, row: Row) -> Row:
        if name in keys and row["epoch"] == epoch and row["decision_window"] == "T-5":
            *key, value = keys[name]
            row[value] = final[name].get((row["protocol"], *(row[k] for k in key)), row[value])
        return row

    other, _ = rebuilt(built_line, tmp_path, changed(rows, leak), "build", "--select", "+int_voter_windows")
    fallen = "select period, part from main_intermediate.int_voting_gates where gate = 'no_leak' and verdict = 'fail'"
    assert set(other.query(fallen)) == {(str(epoch), "T-5")}
    kept_out = (
        "select distinct epoch, decision_window from main_intermediate.int_voter_windows where failed_gates like "
    )
    assert other.query(f"{kept_out}'%no_leak%'") == [(epoch, "T-5")]


@pytest.mark.long
def test_a_forecast_trained_on_the_future_fails_the_gates(built_line: Line, tmp_path: Path) -> None:
    made = Line(built_line.world, tmp_path)
    made.configure()
    shutil.copytree(built_line.folder / "raw", tmp_path / "raw")
    (tmp_path / "build").mkdir()
    shutil.copy(built_line.folder / "build" / "foreshore.duckdb", tmp_path / "build" / "foreshore.duckdb")
    assert made.dbt("test", "--select", "preboundary_proxies").returncode == 0
    with duckdb.connect(str(tmp_path / "build" / "foreshore.duckdb")) as built:
        built.execute("update preboundary_proxies set trained_until = decision_at + interval 1 second")
    done = made.dbt("test", "--select", "preboundary_proxies")
    assert done.returncode != 0 and "not_after_preboundary_proxies" in done.stdout
