"""What outsiders do to single keys stops nothing: they are named, left out and shown; everything else is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import simulate
from operate.bars.pre_paper import demo as bars
from operate.warehouse import Warehouse, query
from tests.lending_line_fixtures import LendingLine
from tests.line_fixtures import Line
from tests.spoiled_lake import failing, spoil

pytestmark = pytest.mark.node
STATE = ("voting_windows", "voting_gauges", "voting_rewards", "voting_prices")


class Spoiled:
    """Which keys were spoiled, by what; and the warehouse that was built all the same."""

    def __init__(self, built: duckdb.DuckDBPyConnection) -> None:
        epochs = "select distinct epoch from epoch_boundaries where epoch_status = 'ended' order by 1"
        self.first, self.second, self.third, *_ = [row[0] for row in built.execute(epochs).fetchall()]
        moved = "select observed_block from decision_points where protocol = 'hydrex_world' and decision_window = 'day'"
        self.day_block = one(built, f"{moved} and epoch = {self.first}")
        whole = (
            "select csu_id, day from csu_daily_panel where panel_status = 'complete' and reserve_count > 1 order by all"
        )
        panel = built.execute(whole).fetchall()
        self.csu, self.day = panel[0]
        self.rich_csu, self.rich_day = next(row for row in panel if row[0] != self.csu)
        self.failed_csu, self.failed_day = panel[-1]
        [(self.asset,)] = built.execute(
            "select asset_address from csu_reserve_daily where csu_id = ? and day = ? and supplied > 0 "
            "and price_usd > 0 order by supplied_usd desc limit 1",
            [self.rich_csu, self.rich_day],
        ).fetchall()
        supplied = (
            f"select max(supplied) from csu_reserve_daily where csu_id = '{self.rich_csu}' and day = '{self.rich_day}'"
        )
        kept = "select symbol, bar_at from bars_m5 order by all limit 1"
        [(self.symbol, self.bar_at)] = built.execute(kept).fetchall()
        self.rich_price = 7e14 / float(one(built, f"{supplied} and asset_address = '{self.asset}'"))

    def changes(self) -> list[str]:
        hydrex = f"protocol = 'hydrex_world' and epoch = {self.first}"
        return [
            # one gauge whose weights() reverts in one window
            "update voting_gauges set votes_raw = null, votes_status = 'reverted' where (protocol, epoch, "
            "decision_window, gauge_address) = (select (protocol, epoch, decision_window, gauge_address) from "
            f"voting_gauges where protocol = 'hydrex_world' and epoch = {self.third} and decision_window = 'T-5' and "
            "votes_raw::hugeint > 0 limit 1)",
            # one epoch whose event scan failed
            *failing(["voting_events"], f"table_group = 'events' and partition_key like '%/{self.second}'"),
            # one boundary partition failed
            *failing(
                STATE,
                f"table_group = 'state' and partition_key = 'velodrome_world/{self.first}' and "
                "partition_window = 'boundary'",
            ),
            # an epoch whose bribes all come after its first window
            f"update voting_rewards set reward_raw = '0' where {hydrex} and decision_window = 'day'",
            f"update voting_events set block_number = {self.day_block} + 1, "
            "log_index = log_index + 100000 + block_number, "
            "block_at = coalesce((select max(block_at) from voting_events where "
            f"block_number = {self.day_block} + 1), (select observed_at + interval 2 second from voting_windows where "
            f"{hydrex} and decision_window = 'day')) where protocol = 'hydrex_world' and event_kind = 'reward' and "
            f"event_epoch = {self.first} and block_number <= {self.day_block}",
            # an amount below zero
            f"update lending_reserves set supplied_raw = '-5' where csu_id = '{self.csu}' and day = '{self.day}' and "
            f"reserve_id = (select min(reserve_id) from lending_reserves where csu_id = '{self.csu}')",
            # a worthless token that its market's maker prices
            f"update lending_prices set price_usd = {self.rich_price} where csu_id = '{self.rich_csu}' and day = "
            f"'{self.rich_day}' and asset_address = '{self.asset}'",
            # a CSU that failed
            *failing(
                ["lending_snapshots", "lending_reserves"],
                f"table_group = 'snapshot' and partition_key = '{self.failed_csu}' and "
                f"partition_window = '{self.failed_day}'",
            ),
            # a bar whose high lies under its low
            f"update bars set high = low - 1 where symbol = '{self.symbol}' and bar_at = '{self.bar_at.isoformat()}'",
        ]


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    [(value,)] = connection.execute(sql).fetchall()
    return value


@pytest.fixture(scope="module")
def built(
    small_world: simulate.RunningWorld,
    small_lending_world: simulate.RunningWorld,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Line, Spoiled, str]:
    """Voting, lending and bars extracted, built, spoiled and built again; what the second build printed."""
    folder: Path = tmp_path_factory.mktemp("sound")
    lending, sound = LendingLine(small_lending_world, folder), Line(small_world, folder)
    assert lending.extract() == 0
    config = sound.configure()
    assert sound.extract(config) == 0 and bars.extract(config) == 0
    done = sound.cli("build")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    with duckdb.connect(str(folder / "build" / "foreshore.duckdb"), read_only=True) as connection:
        spoiled = Spoiled(connection)
    line = Line(small_world, tmp_path_factory.mktemp("spoiled"))
    line.configure()
    spoil(folder / "raw", line.folder / "raw", spoiled.changes())
    done = line.cli("build")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    return line, spoiled, done.stdout + done.stderr


def rows(built: tuple[Line, Spoiled, str], sql: str) -> list[tuple[Any, ...]]:
    folder = built[0].folder
    return query(Warehouse(folder, f"{folder}/raw"), sql)[1]


def failed(built: tuple[Line, Spoiled, str], key: str) -> set[str]:
    return {
        row[0] for row in rows(built, f"select gate from gate_verdicts where verdict = 'fail' and gate_key = '{key}'")
    }


def test_every_wing_is_published(built: tuple[Line, Spoiled, str]) -> None:
    units = {row[0] for row in rows(built, "select unit from publications")}
    assert units == {"door", "voting", "lending", "bars", "markets"}
    assert "held back" not in built[2]


def test_a_reverting_gauge_takes_its_window_out_and_no_other(built: tuple[Line, Spoiled, str]) -> None:
    key = f"hydrex_world/{built[1].third}/T-5"
    assert failed(built, key) == {"votes_add_up_to_the_total"}
    found = rows(
        built,
        "select decision_window, outcome, reason from preboundary_recommendations where protocol = 'hydrex_world' "
        f"and epoch = {built[1].third}",
    )
    assert {row[1] for row in found if row[0] == "T-5"} == {"gate_failed"}
    assert all("1 gauges could not be read" in row[2] for row in found if row[0] == "T-5")
    assert {row[0] for row in found if row[1] != "gate_failed"} == {"day", "T-1", "T-0"}
    forecast = f"from preboundary_proxies where decision_window = 'T-5' and epoch = {built[1].third}"
    assert not rows(built, f"{forecast} and protocol = 'hydrex_world'")


def test_a_failed_event_scan_takes_its_epoch_out(built: tuple[Line, Spoiled, str]) -> None:
    second = built[1].second
    found = rows(built, f"select distinct outcome from preboundary_recommendations where epoch = {second}")
    assert found == [("gate_failed",)]
    assert {"events_scanned"} <= failed(built, f"velodrome_world/{second}/T-0")
    assert failed(built, f"world/{second}") == {"extracted_events"}
    assert not rows(built, f"from preboundary_backtest_results where epoch = {second} and realised_usd is not null")
    assert rows(
        built, f"select * from preboundary_recommendations where epoch = {built[1].first} and outcome <> 'gate_failed'"
    )


def test_a_failed_boundary_leaves_its_epoch_unscored_and_its_decisions_alone(built: tuple[Line, Spoiled, str]) -> None:
    """When they were made nobody could know that the end would not be read: the decisions of the week stand."""
    first = built[1].first
    assert {"extracted_state", "truth_extracted"} <= failed(built, f"velodrome_world/{first}/boundary")
    scored = f"select * from preboundary_backtest_results where epoch = {first} and protocol = 'velodrome_world'"
    assert not rows(built, f"{scored} and realised_usd is not null")
    outcomes = f"select distinct outcome from preboundary_recommendations where epoch = {first}"
    made = rows(built, f"{outcomes} and protocol = 'velodrome_world'")
    assert made and ("gate_failed",) not in made


def test_a_window_before_any_bribe_is_no_fault(built: tuple[Line, Spoiled, str]) -> None:
    first = built[1].first
    assert failed(built, f"hydrex_world/{first}/day") == set()
    assert rows(built, "select sum(rewards_now_usd) from preboundary_snapshots where protocol = 'hydrex_world' and "
                f"epoch = {first} and decision_window = 'day'") == [(0.0,)]  # fmt: skip
    made = f"select distinct outcome from preboundary_recommendations where epoch = {first} and decision_window = 'day'"
    assert ("gate_failed",) not in rows(built, f"{made} and protocol = 'hydrex_world'")


def test_a_negative_amount_takes_a_csus_day_out(built: tuple[Line, Spoiled, str]) -> None:
    spoiled = built[1]
    assert "amounts_are_not_negative" in failed(built, f"{spoiled.csu}/{spoiled.day}")
    panel = f"select panel_status, reason, net_tvl_usd from csu_daily_panel where csu_id = '{spoiled.csu}'"
    [(status, reason, net)] = rows(built, f"{panel} and day = '{spoiled.day}'")
    assert status == "gate_failed" and "below zero" in reason and net is None
    assert rows(built, f"{panel} and day <> '{spoiled.day}' and net_tvl_usd is not null")


def test_a_worthless_token_worth_a_fortune_by_its_makers_oracle_stops_nothing(built: tuple[Line, Spoiled, str]) -> None:
    spoiled = built[1]
    dearest = f"select max(supplied_usd) from csu_reserve_daily where csu_id = '{spoiled.rich_csu}'"
    assert rows(built, dearest)[0][0] == pytest.approx(7e14)


def test_a_failed_csu_is_named_and_cured_by_a_command(built: tuple[Line, Spoiled, str]) -> None:
    spoiled = built[1]
    key = f"{spoiled.failed_csu}/{spoiled.failed_day}"
    assert "extracted_snapshot" in failed(built, key)
    [(evidence, cure)] = rows(
        built, f"select evidence, cure from gate_verdicts where gate_key = '{key}' and gate = 'extracted_snapshot'"
    )
    assert evidence == "ProviderError: the provider answered 503 five times"
    day = spoiled.failed_day
    assert cure == f"foreshore extract lending --csu {spoiled.failed_csu} --since {day} --until {day}"


def test_an_impossible_bar_is_counted_and_left_out(built: tuple[Line, Spoiled, str]) -> None:
    found = rows(
        built, "select gate_key, problem_count from gate_verdicts where gate = 'bars_are_usable' and verdict = 'warn'"
    )
    assert [row[1] for row in found] == [1]
    assert rows(built, "select count(*) from bars_m5 where high < low") == [(0,)]


def test_the_build_and_status_name_the_keys_and_the_cure(built: tuple[Line, Spoiled, str]) -> None:
    line, spoiled, printed = built
    assert (
        f"gate failed: voting hydrex_world/{spoiled.third}/T-5 votes_add_up_to_the_total, left out of decision"
        in printed
    )
    assert (
        f"cure: foreshore extract voting --since {spoiled.third} --until {spoiled.third} --protocol hydrex_world"
        in printed
    )
    status = line.cli("status", "--json")
    told = json.loads(status.stdout)["failing_gates"]
    assert {f"hydrex_world/{spoiled.third}/T-5", f"{spoiled.csu}/{spoiled.day}"} <= {row["gate_key"] for row in told}
    shown = line.cli("status").stdout
    assert "gate failed" in shown and "--protocol hydrex_world" in shown
