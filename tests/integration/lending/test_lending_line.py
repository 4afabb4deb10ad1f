"""The lending line against the world's own books: every reserve, every liquidation, awkward moments; then faults."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

import simulate
from extract.evm.client import ChainClient
from extract.lake import Lake
from extract.ledger import Ledger
from extract.lending.cost import costs
from extract.lending.days import day_of, parse_day
from extract.lending.plan import Request
from extract.lending.run import measure_periods
from extract.where import Where
from tests.kills import files, kill_when
from tests.lending_line_fixtures import LendingLine
from tests.line_fixtures import ROOT
from tests.price_fixtures import Api

pytestmark = pytest.mark.node

ROLES = {"reserve": "lent", "base": "lent", "loan": "lent", "market": "lent", "collateral": "collateral"}
KINDS = {
    **dict.fromkeys(("LiquidationCall", "LiquidateBorrow", "Liquidate", "LogLiquidate"), "liquidation"),
    **dict.fromkeys(("DeficitCreated", "DebtSocialized"), "deficit"),
    "LiquidateCreditAccount": "liquidation",
    "AbsorbDebt": "absorb_debt",
    "AbsorbCollateral": "absorb_collateral",
}
NATIVE = {"0x" + "0" * 40: "0x" + "ee" * 20, None: None}
MOVED = (
    "select csu_id, day::varchar, sum(event_count)::int, any_value(panel_status), any_value(flow_disagree_count) "
    "from csu_flow_checks inner join csu_daily_panel using (csu_id, day) group by all order by all"
)
DST, QUIET = "2025-11-02", "2025-11-01"


def truth(line: LendingLine) -> dict[str, Any]:
    return dict(line.world.info["truth"])


def test_every_reserve_is_what_the_agents_booked(built_lending_line: LendingLine) -> None:
    line = built_lending_line
    found = {
        row[:3]: row[3:]
        for row in line.query(
            "select csu_id, day::varchar, reserve_id, supplied_raw::varchar, borrowed_variable_raw::varchar, "
            "borrowed_stable_raw::varchar, price_usd, net_usd, is_frozen, is_paused, read_status, asset_address, "
            "reserve_role from csu_reserve_daily"
        )
    }
    families = {c["csu_id"]: c["family"] for c in line.world.info["csus"]}
    for of in truth(line)["snapshots"]:
        for reserve in of["reserves"]:
            name = reserve["reserve_id"]
            suffix = ":collateral" if reserve["role"] == "collateral" and ":" not in name else ""
            row = found.pop((of["csu_id"], of["date"], name + suffix))
            assert row[-2] == NATIVE.get(reserve["token_address"], reserve["token_address"])
            assert row[-1] == ROLES[reserve["role"]]
            if families[of["csu_id"]] == "silo_v2":  # the books hold protected deposits within the supplied ones
                kept = found.pop((of["csu_id"], of["date"], f"{name}:protected"))
                assert kept[0] == reserve["protected_raw"] and kept[-1] == "collateral"
                both = str(int(row[0]) + int(kept[0]))
                row = (both, *row[1:4], row[4] + kept[4], *row[5:])
            _same_reserve(row, reserve, families[of["csu_id"]])
    assert not found, "nothing else is there"


def _same_reserve(row: tuple[Any, ...], reserve: dict[str, Any], family: str) -> None:
    raw = [reserve[f"{n}_raw"] for n in ("supplied", "borrowed_variable", "borrowed_stable")]
    if family == "fluid":  # it keeps 56 bits of an amount
        assert [int(n) for n in row[:3]] == pytest.approx([int(n) for n in raw], rel=1e-15)
    else:
        assert list(row[:3]) == raw, reserve
    if family.startswith("aave"):
        pauses = reserve["is_paused"] if family == "aave_v3" else None  # this V2 pool has no such view
        assert row[5:7] == (reserve["is_frozen"], pauses), reserve
    if reserve["decimals"] is None:
        assert row[4] is None and row[7].startswith("no_decimals")
    elif reserve["price_usd"] is None:
        assert row[3] is None and row[4] is None, reserve
    else:
        assert row[3] == pytest.approx(float(reserve["price_usd"]), rel=1e-9), reserve
        assert row[4] == pytest.approx(float(reserve["net_usd"]), rel=1e-9, abs=1e-6)


def test_what_the_protocol_keeps_of_a_seizure_is_what_the_agents_booked(built_lending_line: LendingLine) -> None:
    line = built_lending_line
    found = {
        (row[0], row[1]): row[2:]
        for row in line.query(
            "select transaction_hash, log_index, event_kind, protocol_fee_status, collateral_token_raw::varchar, "
            "seized_token_raw::varchar, received_token_raw::varchar, protocol_fee_token_raw::varchar, "
            "collateral_usd, seized_usd, received_usd from csu_liquidations"
        )
    }
    family = {row["csu_id"]: row["family"] for row in line.world.info["csus"]}
    seen = set()
    for one in truth(line)["liquidations"]:
        kind, status, told, seized, received, fee, *worths = found[one["tx_hash"], one["log_index"]]
        usd, seized_usd, received_usd = worths
        if kind == "deficit" or family[one["csu_id"]] in ("fluid", "gearbox", "silo_v2") or kind == "absorb_debt":
            assert (status, seized, received) == ("unknown", None, None), one
            continue
        seen.add((family[one["csu_id"]], status))
        assert fee == (one.get("protocol_fee_raw") or ("0" if status == "none" else told)), one
        assert int(seized) - int(received) == int(fee)
        assert told == (received if family[one["csu_id"]].startswith("aave") else seized)
        if usd is not None:
            assert seized_usd == pytest.approx(usd * int(seized) / int(told), rel=1e-9)
            assert received_usd == pytest.approx(usd * int(received) / int(told), rel=1e-9)
    assert {("aave_v3", "read"), ("aave_v2", "none"), ("compound_v2", "read"), ("compound_v3", "whole")} <= seen


def test_every_liquidation_is_what_the_agents_booked(built_lending_line: LendingLine) -> None:
    line = built_lending_line
    found = {
        (row[0], row[1]): row[2:]
        for row in line.query(
            "select transaction_hash, log_index, csu_id, day::varchar, event_kind, liquidator, borrower, debt_asset, "
            "debt_raw::varchar, collateral_asset, collateral_raw::varchar, bad_debt_raw::varchar, debt_usd, "
            "collateral_usd, bad_debt_usd, decode_status from csu_liquidations"
        )
    }
    wanted = truth(line)["liquidations"]
    odd = [row for row in found.values() if row[-1] not in ("ok", "amounts_not_logged")]
    assert [(row[0], row[-1]) for row in odd] == [("moon_world", "malformed")], "kept, counted, never guessed"
    assert len(found) - 1 == len(wanted) > 40
    for one in wanted:
        row = found[one["tx_hash"], one["log_index"]]
        assert row[:2] == (one["csu_id"], one["date"])
        assert row[2] == KINDS[one["event"]] and row[4] == one["borrower"]
        assert row[5] == NATIVE.get(one["debt_asset"], one["debt_asset"]), one
        assert row[7] == NATIVE.get(one["collateral_asset"], one["collateral_asset"]), one
        if row[-1] == "amounts_not_logged":
            assert one["csu_id"] == "gearbox_world" and (row[6], row[8], row[10], row[11]) == (None,) * 4
            continue
        assert (row[6], row[8]) == (one["debt_raw"], one["collateral_raw"]), one
        assert (row[9] or "0") == (one["bad_debt_raw"] or "0"), one
        for mine, theirs in ((row[10], one["debt_usd"]), (row[11], one["collateral_usd"])):
            if mine is not None and theirs is not None:
                assert mine == pytest.approx(float(theirs), rel=1e-9)


def test_the_panel_adds_up_to_the_books(built_lending_line: LendingLine) -> None:
    line = built_lending_line
    rows = line.query(
        "select csu_id, day::varchar, panel_status, verified.net_usd + coalesce(unverified.net_usd, 0), "
        "liquidation_event_count + deficit_event_count, reason, net_tvl_usd from csu_daily_panel left join "
        "(select csu_id, day, coalesce(sum(net_usd), 0) as net_usd from csu_reserve_daily "
        "where price_verdict in ('unverified', 'excluded') group by all) as unverified using (csu_id, day) left join "
        "(select csu_id, day, net_tvl_usd as net_usd from csu_daily_panel) as verified using (csu_id, day)"
    )
    snapshots = {(s["csu_id"], s["date"]): s for s in truth(line)["snapshots"]}
    events = defaultdict(int)
    for one in truth(line)["liquidations"]:
        events[one["csu_id"], one["date"]] += 1
    assert len(rows) == len(snapshots) == len(line.world.info["csus"]) * 10, "every expected pair, with a status"
    for csu, day, status, net, count, reason, verified in rows:
        of = snapshots[csu, day]
        assert (status == "not_deployed") == (of["status"] == "not_deployed")
        if status == "not_deployed":
            assert verified is None and count is None and "not deployed" in reason, "not zero"
            continue
        known = [r for r in of["reserves"] if r["net_usd"] is not None and r["decimals"] is not None]
        assert net == pytest.approx(float(sum(Decimal(r["net_usd"]) for r in known)), rel=1e-9)
        garbled = (csu, day) == ("moon_world", "2025-11-03")  # an event of this topic with other data
        assert count == events[csu, day] + garbled
        if garbled:
            assert reason == "1 liquidations not decoded"
        assert (status == "complete") == (reason is None)


def test_awkward_moments_fall_into_their_own_day(built_lending_line: LendingLine) -> None:
    line = built_lending_line
    [(hours, first, last)] = line.query(
        f"select day_hours, first_block, last_block from csu_snapshot_blocks where day = date '{DST}'"
    )
    assert hours == 25
    at = dict(line.query("select block_number, count(*) from csu_liquidations group by 1"))
    assert first in at and last in at and first - 1 not in at, "the quiet day's last block holds none"
    in_25th = line.query(
        "select count(*) from csu_liquidations inner join csu_snapshot_blocks using (chain_id, day) "
        "where block_at >= window_end_at - interval 1 hour and day_hours = 25"
    )
    assert in_25th[0][0] >= 3
    twice = line.query("select count(*) from csu_liquidations group by transaction_hash, csu_id having count(*) > 1")
    assert twice, "two in one transaction are two"
    [(absorbed, events)] = line.query(
        "select sum(liquidation_count), sum(liquidation_event_count) from csu_daily_panel "
        "where csu_id = 'comet_usdx_world' and day = date '2025-10-31'"
    )
    assert (absorbed, events) == (1, 4), "one absorption of three assets is one liquidation in four logs"
    quiet = line.query(
        "select sum(liquidation_event_count), min(scanned_to_block - scanned_from_block) from csu_daily_panel "
        f"where day = date '{QUIET}' and panel_status in ('complete', 'incomplete')"
    )
    assert quiet[0][0] == 0 and quiet[0][1] > 5, "zero because blocks were scanned"
    assert line.query("select count(*) from csu_liquidations where csu_id not like '%_world'") == [(0,)]


def test_what_nobody_prices_is_listed_and_what_one_feed_breaks_loses_no_other(built_lending_line: LendingLine) -> None:
    rows = built_lending_line.query(
        "select csu_id, asset_symbol, m.tried from missing_prices m inner join csu_reserve_daily r "
        "using (csu_id, day, asset_address) where m.needed_for = 'reserve' and m.day = date '2025-11-05' order by all"
    )
    by_csu = {(csu, symbol): tried for csu, symbol, tried in rows}
    assert "oracle: reverted" in by_csu["aave_v3_world", "LOST"] and "feed: none" in by_csu["aave_v3_world", "LOST"]
    assert ("aave_v3_world", "BRKN") not in by_csu, "its public feed stands in"
    [(source,)] = built_lending_line.query(
        "select price_source from csu_reserve_daily where asset_symbol = 'BRKN' and day = date '2025-11-05'"
    )
    assert source == "feed"


def test_nothing_is_left_to_do_and_status_says_so(built_lending_line: LendingLine) -> None:
    assert built_lending_line.extract() == 3
    done = built_lending_line.cli("status", "--lending", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert len(status["csus"]) == len(built_lending_line.world.info["csus"]) and all(
        row["done"] == 10 and not row["failing"] for row in status["csus"]
    )


def test_later_blocks_change_nothing_of_earlier_days(
    built_lending_line: LendingLine, lending_line: LendingLine
) -> None:
    """The first five days extracted while the rest is not asked for: the same rows as in the whole panel."""
    assert lending_line.extract(until=DST, days=5) == 0
    whole, early = built_lending_line.everything(), lending_line.everything()
    for name, rows in early.items():
        assert rows == [row for row in whole[name] if row["day"] <= parse_day(DST)] and rows, name


def test_killed_anywhere_it_resumes_to_the_same_rows(
    built_lending_line: LendingLine, lending_line: LendingLine
) -> None:
    lending_line.configure()
    command = [sys.executable, "-m", "operate.cli", "extract", "lending", "--workers", "3"]
    environment = {**os.environ, **lending_line.environment()}
    chance, kills = random.Random(3), 0
    for _ in range(4):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kills += kill_when(process, files(lending_line.folder), chance.randrange(2, 40))
    assert kills >= 2 and lending_line.extract() in (0, 3)
    assert lending_line.everything() == built_lending_line.everything()


def test_two_worker_processes_give_the_same_rows(built_lending_line: LendingLine, lending_line: LendingLine) -> None:
    assert lending_line.extract(where=Where("dask"), workers=2) == 0
    assert lending_line.everything() == built_lending_line.everything()


def test_a_provider_with_ten_blocks_a_request_gives_the_same_rows(
    built_lending_line: LendingLine, lending_line: LendingLine, healthy_lending_world: simulate.RunningWorld
) -> None:
    config = lending_line.configure(rpc_url=healthy_lending_world.profile_url("alchemy_free"))
    assert lending_line.extract(config) == 0
    assert lending_line.everything() == built_lending_line.everything()


def test_a_provider_without_archive_state_fails_by_name_and_loses_nothing(lending_line: LendingLine) -> None:
    world = lending_line.world
    world.control("no_archive", 20)
    assert lending_line.extract(days=3) in (1, 2)
    failing = json.loads(lending_line.cli("status", "--lending", "--json").stdout)["failing"]
    assert failing and all("archive" in row["error_message"] for row in failing)
    lending_line.build()
    states = dict(lending_line.query("select panel_status, count(*) from csu_daily_panel group by 1"))
    odd = "panel_status = 'failed' and (net_tvl_usd is not null or reason is null)"
    assert states.get("failed", 0) > 0
    assert lending_line.query(f"select count(*) from csu_daily_panel where {odd}") == [(0,)]
    world.heal()
    assert lending_line.extract(days=3) == 0


def test_a_source_that_comes_later_fills_prices_without_scanning(lending_line: LendingLine, api: str) -> None:
    world = lending_line.world
    assert lending_line.extract(days=2) == 0
    missing = [row for row in lending_line.rows("lending_prices") if row["price_status"] == "missing"]
    assert missing
    before = world.stats()
    source = f'[[chains.lending_world.price_sources]]\nname = "llama"\nchain_key = "x"\nurl = "{api}"\n'
    text = (lending_line.folder / "foreshore.toml").read_text().split("[chains.lending_world]", 1)[1]
    text = "[chains.lending_world]" + text.replace(
        "[chains.lending_world.feeds]", source + "[chains.lending_world.feeds]"
    )
    assert lending_line.extract(lending_line.configure(text), days=2) == 0
    after = world.stats()
    scans = [of.get("eth_getLogs", 0) for stats in (before, after) for name, of in stats.items() if name == "clean"]
    assert scans[0] == scans[-1], "nothing was scanned anew"
    rows = lending_line.rows("lending_prices")
    assert not [row for row in rows if row["price_status"] == "missing"] and Api.asked
    filled = [row for row in rows if row["price_source"] == "llama"]
    assert filled and all(row["price_usd"] == 2.5 for row in filled)
    assert all(row["tried"].startswith("oracle: ") for row in filled), "what the oracle said stays"
    assert len(rows) - len(missing) >= len(filled)


def test_logs_that_a_provider_dropped_are_missed_by_name(
    built_lending_line: LendingLine, lending_line: LendingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third log of the pools is gone: no day of theirs whose state moved otherwise is complete."""
    honest = ChainClient.logs

    async def lossy(self: ChainClient, *arguments: Any) -> Any:
        async for chunk in honest(self, *arguments):
            kept = [i for i in range(chunk.table.num_rows) if i % 3]
            yield dataclasses.replace(chunk, table=chunk.table.take(kept))

    monkeypatch.setattr(ChainClient, "logs", lossy)
    asked = {"csus": ("aave_v3_world", "comet_usdx_world", "compound_v2_world"), "days": 4}
    assert lending_line.extract(**asked) == 0
    monkeypatch.setattr(ChainClient, "logs", honest)
    lending_line.build()
    whole = {r[:2]: r[2:] for r in built_lending_line.query(MOVED)}
    for csu, day, count, status, disagreeing in lending_line.query(MOVED):
        lost = whole[csu, day][0] - count
        assert lost >= 0
        if lost:
            assert status == "incomplete" and disagreeing > 0, (csu, day, lost)
    found = lending_line.query("select distinct reason from csu_daily_panel where flow_disagree_count > 0")
    assert any("moved otherwise than their events say" in reason for (reason,) in found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--csu", "aave_v3_wrld"), "no CSU 'aave_v3_wrld': the registry has aave_v3_world"),
        (("--since", "2025-11-05", "--until", "2025-11-01"), "is after --until"),
        (("--until", "2999-01-01"), "has not ended in New York yet"),
        (("--csu", "aave_v3_ethereum"), "has no [chains.ethereum] with providers"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    lending_line: LendingLine, arguments: tuple[str, ...], said: str
) -> None:
    lending_line.configure()
    done = lending_line.cli("extract", "lending", *arguments)
    assert done.returncode == 1 and said in done.stderr.replace("\n", " ") and "Traceback" not in done.stderr
    assert not (lending_line.folder / "raw").exists() or not lending_line.rows("lending_days")


def test_a_day_after_the_chains_head_waits(lending_line: LendingLine) -> None:
    """Ended by the clock on the wall, not on this chain: recorded as failed, and tried again next time."""
    assert lending_line.extract(csus=("aave_v3_world",), since="2025-11-07", until="2025-11-09") == 2
    failing = json.loads(lending_line.cli("status", "--lending", "--json").stdout)["failing"]
    assert {row["partition_window"] for row in failing} == {"2025-11-08", "2025-11-09"}
    assert all("try later" in row["error_message"] for row in failing)


def test_days_before_the_chain_are_days_without_deployments(lending_line: LendingLine) -> None:
    """43 CSUs over a month in which some chains did not exist is a run that is done."""
    assert lending_line.extract(csus=("aave_v3_world", "morpho_world"), since="2025-01-01", until="2025-01-02") == 0
    lending_line.build()
    rows = lending_line.query("select panel_status, net_tvl_usd, observed_block, reason from csu_daily_panel")
    assert len(rows) == 4 and {row[:3] for row in rows} == {("not_deployed", None, None)}
    assert all("is before the chain's first block" in row[3] for row in rows)
    assert lending_line.extract(csus=("aave_v3_world", "morpho_world"), since="2025-01-01", until="2025-01-02") == 3


def test_a_plan_is_what_a_run_then_asks(lending_line: LendingLine) -> None:
    config, world = lending_line.configure(), lending_line.world
    request = Request()
    periods = asyncio.run(measure_periods(config, request))
    [cost] = costs(config, request, Ledger.read(Lake(str(lending_line.folder / "raw"))), 2_000, periods)
    before = world.stats()["clean"]
    assert lending_line.extract(config) == 0
    asked = {method: count - before.get(method, 0) for method, count in world.stats()["clean"].items()}
    assert cost.is_measured and cost.days == 10
    assert asked["eth_getLogs"] <= cost.logs + cost.history and asked["eth_getBlockByNumber"] <= 2 * cost.headers
    assert 0.4 * cost.reads <= asked["eth_call"] <= 1.25 * cost.reads, (asked, cost)


def test_windows_of_the_world_are_the_tz_databases(lending_world: simulate.RunningWorld) -> None:
    """The world keeps its own clock; both must come to the same midnights."""
    for span in lending_world.info["days"]:
        day = day_of(parse_day(span["date"]))
        assert (day.start, day.end) == (span["start"], span["end"])


def test_the_example_of_a_csu_reads_one_under_its_own_name(
    lending_line: LendingLine, built_lending_line: LendingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/examples/your_csu.toml as it stands, but for the chain's id, the address and the provider's URL."""
    world = lending_line.world
    [there] = [csu for csu in world.info["csus"] if csu["csu_id"] == "aave_v3_world"]
    text = (ROOT / "docs" / "examples" / "your_csu.toml").read_text().replace("0x" + "1".zfill(40), there["registry"])
    monkeypatch.setenv("YOUR_RPC_URL", world.rpc_url)
    config = lending_line.configure(text.replace("chain_id = 8453", f"chain_id = {world.info['chain_id']}"))
    assert lending_line.extract(config, since=QUIET, until=QUIET) == 0

    def supplied(line: LendingLine, csu: str) -> dict[str, Any]:
        rows = [row for row in line.rows("lending_reserves") if row["csu_id"] == csu and str(row["day"]) == QUIET]
        return {row["reserve_id"]: row["supplied_raw"] for row in rows}

    found = supplied(lending_line, "your_market")
    assert found and found == supplied(built_lending_line, "aave_v3_world")
