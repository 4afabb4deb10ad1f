"""From the chain to the marts: every number against the agents' own books, and nothing from the future."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from extract.lake import Lake
from extract.land import land
from extract.ledger import LEDGER_SCHEMA, LEDGER_TABLE, Ledger
from extract.voting.tables import VOTING_TABLES
from tests.kills import files, kill_when
from tests.line_fixtures import ROOT, Line

pytestmark = pytest.mark.node
WEEK = 604_800
NOT_OF_THE_CHAIN = {"load_id", "fetched_at"}


def books(line: Line, protocol: str) -> list[dict[str, Any]]:
    return [row for row in line.world.actions() if row["protocol"] == protocol]


def votes_by_the_books(rows: list[dict[str, Any]], protocol: str, first: int, block: int) -> dict[str, int]:
    """Votes per gauge after `block`, from what the agents did; Hydrex counts from `first`, a kill clears."""
    votes: dict[str, int] = defaultdict(int)
    for row in rows:
        if row["block"] > block or (protocol == "hydrex" and row["block"] < first):
            continue
        if row["kind"] == "vote":
            votes[row["gauge"]] = (
                max(votes[row["gauge"]] + int(row["delta"]), 0)
                if protocol == "hydrex"
                else votes[row["gauge"]] + int(row["delta"])
            )
        elif row["kind"] == "kill" and protocol == "hydrex":
            votes[row["gauge"]] = 0
    return votes


@pytest.mark.parametrize("protocol", ["hydrex", "velodrome"])
def test_every_snapshot_equals_the_agents_books(built_line: Line, protocol: str) -> None:
    rows = books(built_line, protocol)
    starts = dict(
        built_line.query(f"select epoch, start_block from epoch_boundaries where protocol = '{protocol}_world'")
    )
    found = built_line.query(
        "select epoch, decision_window, observed_block, gauge_address, votes_now_raw "
        f"from preboundary_snapshots where protocol = '{protocol}_world'"
    )
    assert len(found) > 150
    for epoch, window, block, gauge, votes in found:
        expected = votes_by_the_books(rows, protocol, starts[epoch], block)[gauge]
        assert int(votes) == expected, (epoch, window, gauge)


@pytest.mark.parametrize("protocol", ["hydrex", "velodrome"])
def test_every_reward_equals_the_agents_books(built_line: Line, protocol: str) -> None:
    spent: dict[tuple[int, str, str], list[tuple[int, int]]] = defaultdict(list)
    for row in books(built_line, protocol):
        if row["kind"] == "reward":
            spent[row["epoch"], row["bribe"], row["token"]].append((row["block"], int(row["amount"])))
    found = built_line.query(
        "select epoch, observed_block, bribe_address, token_address, reward_text "
        f"from main_intermediate.int_rewards_valued where protocol = '{protocol}_world' "
        "and epoch in (select epoch from epoch_boundaries)"
    )
    assert sum(int(row[4]) > 0 for row in found) > 100
    for epoch, block, bribe, token, reward in found:
        expected = sum(amount for at, amount in spent.get((epoch, bribe, token), []) if at <= block)
        assert int(reward) == expected, (epoch, bribe, token)


def test_windows_stand_on_proven_blocks(built_line: Line) -> None:
    """Newest block at or before the target: known from the world's own list of blocks."""
    points = built_line.query(
        "select decision_block, epoch(decision_at), epoch(target_at) from decision_points "
        "where not is_control and decision_window <> 'T-0'"  # the parent of a block, whatever its time
    )
    assert len(points) > 20
    for number, block_time, target in points:
        assert block_time <= target
        following = time_of(built_line, number + 1)
        assert following is None or following > target or following > block_time


def time_of(line: Line, number: int) -> int | None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]})
    request = urllib.request.Request(line.world.rpc_url, body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        result = json.loads(answer.read())["result"]
    return None if result is None else int(result["timestamp"], 16)


def test_flips_are_where_the_world_put_them(built_line: Line) -> None:
    flips = {f["boundary"]: (f["hydrex"]["block"], f["hydrex"]["timestamp"]) for f in built_line.world.info["flips"]}
    found = built_line.query(
        "select epoch, flip_block, epoch(flip_at), truth_block, flip_delay_seconds from epoch_boundaries "
        "where protocol = 'hydrex_world' and epoch_status = 'ended'"
    )
    assert len(found) == 3
    for epoch, flip_block, flip_at, truth_block, delay in found:
        assert (flip_block, flip_at) == flips[epoch + WEEK]
        assert truth_block == flip_block - 1
        assert 9 <= delay <= 13


def test_the_control_is_caught_and_nothing_else_leaks(built_line: Line) -> None:
    verdicts = built_line.query("select is_control, verdict, count(*) from preboundary_leakage_checks group by all")
    assert sorted((control, verdict) for control, verdict, _ in verdicts) == [(False, "clean"), (True, "leak")]
    moved = built_line.query("select sum(moved_count) from preboundary_leakage_checks where decision_window = 'T-1'")
    assert moved[0][0] > 10, "a world where nothing moves late proves nothing"


def test_awkward_gauges_have_their_reasons(built_line: Line) -> None:
    reasons = {
        r
        for row in built_line.query("select distinct exclusion_reasons from preboundary_snapshots")
        for r in row[0].split(",")
    }
    assert {"inactive", "no_rewards", "unpriced", "below_min_reward"} <= reasons
    twice = built_line.query(
        "select count(*) from main_intermediate.int_rewards_valued where times_listed = 2 and reward_raw is not null"
    )
    assert twice[0][0] > 0
    unpriced = built_line.query(
        "select distinct price_status, reward_usd from main_intermediate.int_rewards_valued "
        "where token_symbol = 'NOPE' and reward_raw > 0"
    )
    assert unpriced == [("no_source", None)]
    born = built_line.query(
        "select gauge_address, min(epoch) from preboundary_snapshots group by 1 "
        "having min(epoch) > (select min(epoch) from epoch_boundaries)"
    )
    assert len(born) == 2, "one gauge of each exchange was created in the second epoch"


def test_a_second_run_has_nothing_to_do(built_line: Line) -> None:
    before = sorted(p.name for p in built_line.folder.rglob("*.parquet"))
    done = built_line.cli("extract", "voting", "--epochs", "3")
    assert done.returncode == 3, done.stderr
    assert "Nothing to do" in done.stdout
    assert sorted(p.name for p in built_line.folder.rglob("*.parquet")) == before


def content(lake: Lake, aside: Collection[str] = NOT_OF_THE_CHAIN) -> dict[str, list[tuple[Any, ...]]]:
    """What readers see of each table, fetch times and load ids aside, newest load of a partition only."""
    newest = {name: state.complete["load_id"] for name, state in Ledger.read(lake).states.items() if state.complete}
    found = {}
    for table, schema in VOTING_TABLES.items():
        rows = lake.read_committed(table, schema).to_pylist()
        kept = [r for r in rows if newest.get(r["partition_id"]) == r["load_id"]]
        found[table] = sorted(tuple(repr(v) for k, v in r.items() if k not in aside) for r in kept)
    return found


@pytest.mark.slow
def test_killed_at_any_point_it_ends_with_the_rows_of_an_undisturbed_run(line: Line, built_line: Line) -> None:
    line.configure()
    chance, kills = random.Random(11), 0
    command = [sys.executable, "-m", "operate.cli", "extract", "voting", "--epochs", "3", "--workers", "2"]
    environment = {**os.environ, **line.environment()}
    for attempt in range(8):  # every other one begins anew, so that there is always something left to kill
        process = subprocess.Popen(
            [*command, "--no-resume"] if attempt % 2 else command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kills += kill_when(process, files(line.folder), chance.randrange(2, 60))
    assert kills >= 4
    assert line.extract() in (0, 3)
    assert content(Lake(str(line.folder / "raw"))) == content(Lake(str(built_line.folder / "raw")))


def test_changing_the_future_moves_no_snapshot(built_line: Line, tmp_path: Path) -> None:
    """Everything after each T-1 decision is altered and lands anew; what was visible before must not move."""
    other = Line(built_line.world, tmp_path)
    shutil.copytree(built_line.folder / "raw", tmp_path / "raw")
    lake = Lake(str(tmp_path / "raw"))
    last = max(e for (e,) in built_line.query("select epoch from epoch_boundaries where epoch_status = 'ended'"))
    after = dict(
        built_line.query(
            f"select protocol, decision_block from decision_points where epoch = {last} and decision_window = 'T-1'"
        )
    )
    _land_again(lake, "voting_events", lambda t: _scaled(t, pc.field("amount_raw"), after, "block_number", last))
    _land_again(lake, "voting_gauges", lambda t: _scaled(t, pc.field("votes_raw"), after, "observed_block", last))
    _land_again(lake, "voting_rewards", lambda t: _scaled(t, pc.field("reward_raw"), after, "observed_block", last))
    other.configure()
    done = other.dbt("build", "--resource-type", "model", "--resource-type", "seed")
    assert done.returncode == 0, done.stdout[-3000:]
    visible = (
        "select * from preboundary_snapshots "
        f"where epoch < {last} or (epoch = {last} and decision_window in ('day', 'T-5', 'T-1')) order by all"
    )
    labels = f"select * from preboundary_truth_labels where epoch = {last} order by all"
    assert other.query(visible) == built_line.query(visible)
    assert other.query(labels) != built_line.query(labels), "the future was not changed: the test is blind"


def _scaled(table: pa.Table, column: Any, after: dict[str, int], block: str, epoch: int) -> pa.Table:
    """Rows of `epoch` later than the protocol's decision block get a hundredfold amount."""
    rows = table.to_pylist()
    name = str(column).removeprefix("FieldRef.Name(").removesuffix(")")
    for row in rows:
        if row["epoch"] == epoch and row[block] > after[row["protocol"]] and row[name] is not None:
            row[name] = str(int(row[name]) * 100)
    return pa.Table.from_pylist(rows, schema=table.schema)


def _land_again(lake: Lake, table: str, change: Any) -> None:
    """Land altered rows of whole partitions as a newer load, the other tables of those partitions as they were."""
    newest = {n: s.complete for n, s in Ledger.read(lake).states.items() if s.complete}
    current = {}
    for name, schema in VOTING_TABLES.items():
        rows = lake.read_committed(name, schema)
        kept = [
            newest[p]["load_id"] == load
            for p, load in zip(rows["partition_id"].to_pylist(), rows["load_id"].to_pylist(), strict=True)
        ]
        current[name] = rows.filter(pa.array(kept)).drop_columns(["load_id"])
    altered = change(current[table])
    touched = pc.unique(altered["partition_id"]).to_pylist()
    tables = {
        n: t.filter(pc.is_in(t["partition_id"], pa.array(touched))) for n, t in {**current, table: altered}.items()
    }
    rows = [{k: v for k, v in newest[name].items() if k != "load_id"} for name in touched]
    land(lake, "voting", {**tables, LEDGER_TABLE: pa.Table.from_pylist(rows, schema=LEDGER_SCHEMA)})


def test_boundary_values_copied_into_a_window_are_caught(built_line: Line, tmp_path: Path) -> None:
    """The first collector's bug on real data: final state lands as if read at T-5. No decision may be made on it."""
    other = Line(built_line.world, tmp_path)
    shutil.copytree(built_line.folder / "raw", tmp_path / "raw")
    lake = Lake(str(tmp_path / "raw"))
    _land_again(lake, "voting_gauges", _as_if_final)
    other.configure()
    done = other.dbt("build")
    assert done.returncode == 0, done.stdout[-3000:]
    fallen = "select distinct gate, part from gate_verdicts where verdict = 'fail' and gate in "
    gates = {("no_leak", "T-5"), ("votes_confirmed_by_events", "T-5")}
    assert set(other.query(f"{fallen} ('no_leak', 'votes_confirmed_by_events')")) == gates
    leaking = (
        "select protocol, epoch from preboundary_leakage_checks where verdict = 'leak' and decision_window = 'T-5'"
    )
    made = "select distinct protocol, epoch, outcome from preboundary_recommendations where decision_window = 'T-5'"
    assert {row[2] for row in other.query(made) if row[:2] in set(other.query(leaking))} == {"gate_failed"}
    leaks = other.query(
        "select distinct decision_window, verdict from preboundary_leakage_checks where verdict = 'leak'"
    )
    assert sorted(leaks) == [("T-5", "leak"), ("boundary", "leak")]


def _as_if_final(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    final = {
        (r["protocol"], r["epoch"], r["gauge_address"]): r["votes_raw"]
        for r in rows
        if r["decision_window"] == "boundary"
    }
    for row in rows:
        if row["decision_window"] == "T-5":
            row["votes_raw"] = final.get((row["protocol"], row["epoch"], row["gauge_address"]), row["votes_raw"])
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_a_bare_dbt_build_works_right_after_extraction(built_line: Line, tmp_path: Path) -> None:
    """`make extract && dbt build` in a fresh clone: the project's own default paths, no folder made before."""
    for name in ("models", "python_models", "analyses", "decide", "seeds", "macros", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dbt_project.yml", "profiles.yml", ".dbtignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FORESHORE", "DBT"))} | {
        "DO_NOT_TRACK": "1"
    }

    def dbt() -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "dbt"), "build"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    early = dbt()
    assert early.returncode != 0 and "nothing has been extracted" in early.stdout
    assert "foreshore extract all" in early.stdout
    shutil.copytree(built_line.folder / "raw", tmp_path / "data" / "raw")
    done = dbt()
    assert done.returncode == 0, done.stdout[-3000:]
    shutil.copy(ROOT / "foreshore.toml", tmp_path / "foreshore.toml")
    command = [sys.executable, "-m", "operate.cli", "sql", "select count(*) from preboundary_snapshots", "--json"]
    environment["PYTHONPATH"] = str(ROOT)
    read = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["rows"] == [
        [len(built_line.query("select gauge_address from preboundary_snapshots"))]
    ]


def test_the_example_of_an_exchange_reads_one_under_its_own_name(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/examples/your_exchange.toml as it stands, but for the chain's id, two addresses and the provider's URL."""
    there = line.world.info["protocols"]["hydrex"]
    text = (ROOT / "docs" / "examples" / "your_exchange.toml").read_text()
    text = text.replace("0x" + "1".zfill(40), there["voter"]).replace("0x" + "2".zfill(40), there["minter"])
    monkeypatch.setenv("YOUR_RPC_URL", line.world.rpc_url)
    config = line.configure(text.replace("chain_id = 8453", f"chain_id = {line.world.info['chain_id']}"))
    assert line.extract(config, epochs=1) == 0
    lake = Lake(str(line.folder / "raw"))
    assert {row["provider"] for row in lake.read_committed(LEDGER_TABLE, LEDGER_SCHEMA).to_pylist()} == {"yours"}
    events = lake.read_committed("voting_events", VOTING_TABLES["voting_events"]).to_pylist()
    assert {row["protocol"] for row in events} == {"your_exchange"}
    booked = {(row["block"], row["gauge"]) for row in books(line, "hydrex") if row["kind"] == "vote"}
    heard = {(row["block_number"], row["gauge_address"]) for row in events if row["event_kind"] == "vote"}
    assert heard and heard <= booked
