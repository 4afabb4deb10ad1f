"""Recorded Aave V3 days through the line below the chain: decoded, landed, built; the panel against the record."""

from __future__ import annotations

import csv
import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.evm.wire import in_order, parse_logs
from extract.lake import Lake
from extract.land import land
from extract.ledger import COMPLETE, LEDGER_TABLE, LedgerRow, Partition, declare, ledger_table
from extract.lending.days import day_at, day_of
from extract.lending.families.base import Reserve, State
from extract.lending.fetch import price_row
from extract.lending.liquidations import Liquidation, decode, liquidation_table
from extract.lending.pricing import Price, Question
from extract.lending.registry import Csu
from extract.lending.snapshot import Snapshot, Token, snapshot_tables
from extract.lending.tables import LENDING_TABLES, PRICES
from tests.line_fixtures import Line

pytestmark = pytest.mark.golden

AAVE = Csu(
    "aave_v3_ethereum", "aave_v3", "ethereum", 1, "0x2f39d218133afab8f2b819b1066c7e434ad94e9e", start_block=16291071
)
POOL = "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
SIX = (  # decimals of the tokens that do not have 18: USDC, USDT, EURC, PYUSD
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", "0xdac17f958d2ee523a2206206994597c13d831ec7",
    "0x1abaea1f7c830bd89acc67ec4af516284b1bc33c", "0x6c3ea9036406852006290770bedfcaba0e23a0e8",
)  # fmt: skip
EIGHT = ("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", "0xcbb7c0000ab88b473b1f5afd9ef808440eed33bf")  # WBTC, cbBTC
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def decimals(token: str) -> int:
    return 6 if token in SIX else 8 if token in EIGHT else 18


class Series:
    """The recorded price series of a token: the newest price at or before a second."""

    def __init__(self, path: Path) -> None:
        rows = sorted((int(r["timestamp"]), float(r["price_usd"])) for r in csv.DictReader(path.open()))
        self.times, self.prices = [r[0] for r in rows], [r[1] for r in rows]

    def at(self, timestamp: int) -> Price:
        i = bisect_right(self.times, timestamp) - 1
        if i < 0:  # the recording of a token may begin at its first event
            i = 0
        return Price(self.prices[i], "recorded", made_at=min(self.times[i], timestamp), tried=("recorded: ok",))


@pytest.fixture(scope="module")
def recorded_logs(golden: Path) -> pa.Table:
    lines = (golden / "aave" / "liquidation_logs_ethereum_2025-11-02_03_ny.ndjson").read_text().splitlines()
    body = json.dumps([json.loads(line) for line in lines], separators=(",", ":")).encode()
    return in_order(parse_logs(body))


def recorded(reserves: list[Reserve] | None = None) -> State:
    """A state that its recorder held against a second source."""
    return State(reserves=reserves or [], emitters={POOL: {}}, provider="recorded", confirmation="second_provider")


def snapshot_of(day: date, block: int, state: State, tokens: dict[str, Token]) -> Snapshot:
    window = day_of(day)
    return Snapshot(AAVE, window, block, window.target, state, tokens)


def ledger(kind: str, day: date, blocks: tuple[int, int]) -> LedgerRow:
    return LedgerRow(
        Partition("lending", kind, AAVE.csu_id, day.isoformat()), COMPLETE, "golden", "golden", NOW, NOW,
        from_block=blocks[0], to_block=blocks[1],
    )  # fmt: skip


def days_of_liquidations(logs: pa.Table, golden: Path) -> Iterator[dict[str, Any]]:
    """The tables of each New York day that holds a recorded log."""
    tokens = {p.stem.removeprefix("ethereum_"): Series(p) for p in (golden / "aave" / "prices").glob("*.csv")}
    known = {t: Token(decimals(t), None) for t in tokens}
    dates = [day_at(t).date for t in logs["block_timestamp"].to_pylist()]
    for day in sorted(set(dates)):
        own = logs.filter(pa.array([d == day for d in dates]))
        blocks = (own["block_number"].to_pylist()[0], own["block_number"].to_pylist()[-1])
        snapshot = snapshot_of(day, blocks[1], recorded(), known)
        found = decode(own, AAVE, snapshot.state)
        yield from packages(snapshot, found, blocks, {q: tokens[q.asset].at(q.timestamp) for q in questions(found)})


def questions(found: list[Liquidation]) -> set[Question]:
    return {Question(a, one.block, int(one.log["block_timestamp"])) for one in found for a in one.assets()}


def packages(
    snapshot: Snapshot, found: list[Liquidation], blocks: tuple[int, int], prices: dict[Question, Price]
) -> Iterator[dict[str, Any]]:
    day = snapshot.day.date
    rows = {kind: ledger(kind, day, blocks) for kind in ("snapshot", "liquidations", "prices")}
    names = {kind: row.partition.partition_id for kind, row in rows.items()}
    common = snapshot.common(names["prices"], NOW)
    yield {
        **snapshot_tables(snapshot, names["snapshot"], NOW),
        "lending_liquidations": liquidation_table(snapshot, found, snapshot.tokens, names["liquidations"], NOW),
        "lending_prices": pa.Table.from_pylist([common | price_row(q, p) for q, p in prices.items()], schema=PRICES),
        LEDGER_TABLE: ledger_table(list(rows.values())),
    }


def day_of_reserves(golden: Path) -> Iterator[dict[str, Any]]:
    """The recorded 55 reserves as a snapshot; amounts were recorded as decimals, so they are put into 18 of them."""
    day, block = date(2025, 11, 13), 23_800_000
    reserves, prices, tokens = [], {}, {}
    for row in csv.DictReader((golden / "aave" / "tvl_assets_2025-11-13.csv").open()):
        asset = row["asset"].lower()
        supplied, variable, stable = (
            int(float(row[c]) * 10**18) for c in ("aToken_supply", "variableDebt_supply", "stableDebt_supply")
        )
        reserves.append(
            Reserve(asset, asset, supplied=supplied, borrowed=variable, borrowed_stable=stable, available=0)
        )
        tokens[asset] = Token(18, row["symbol"])
        prices[Question(asset, block, day_of(day).target)] = Price(
            float(row["price_usd"]), "oracle", tried=("oracle: ok",)
        )
    snapshot = snapshot_of(day, block, recorded(reserves), tokens)
    yield from packages(snapshot, [], (block - 7_000, block), prices)


@pytest.fixture(scope="module")
def panel(recorded_logs: pa.Table, golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder = tmp_path_factory.mktemp("recorded_panel")
    lake = Lake(str(folder / "raw"))
    declare(lake, LENDING_TABLES)
    for tables in (*days_of_liquidations(recorded_logs, golden), *day_of_reserves(golden)):
        land(lake, "lending", tables)
    made = Line(None, folder)  # type: ignore[arg-type]  # no chain stands behind recorded data
    select = ("--select", "csu_registry", "lending_assets", "thresholds", "+csu_daily_panel")
    done = made.dbt("build", *select, "--exclude-resource-type", "test", "unit_test")
    assert done.returncode == 0, done.stdout[-3000:]
    return made


def test_every_recorded_log_decodes_once(panel: Line, recorded_logs: pa.Table) -> None:
    rows = panel.query(
        "select decode_status, count(*), count(distinct (transaction_hash, log_index)) from csu_liquidations group by 1"
    )
    assert rows == [("ok", recorded_logs.num_rows, recorded_logs.num_rows)] and recorded_logs.num_rows == 100


def test_new_york_days_and_their_dollars(panel: Line, golden: Path) -> None:
    rows = panel.query(
        "select day, liquidation_count, liquidated_borrower_count, seized_collateral_usd, repaid_debt_usd, "
        "panel_status from csu_daily_panel where liquidation_count > 0 order by day"
    )
    wanted = list(csv.DictReader((golden / "aave" / "liquidations_daily_usd.csv").open()))
    assert [str(row[0]) for row in rows] == [w["date_ny"] for w in wanted]
    for row, w in zip(rows, wanted, strict=True):
        assert row[1:3] == (int(w["events"]), int(w["unique_users"])) and row[5] == "complete"
        assert row[3] == pytest.approx(float(w["collateral_value_usd"]), rel=0.01)
        assert row[4] == pytest.approx(float(w["debt_repaid_value_usd"]), rel=0.01)


def test_gross_debt_and_net_are_three_numbers(panel: Line, golden: Path) -> None:
    [(reserves, gross, debt, net, status)] = panel.query(
        "select reserve_count, gross_tvl_usd, debt_usd, net_tvl_usd, panel_status from csu_daily_panel "
        "where day = date '2025-11-13'"
    )
    [summary] = csv.DictReader((golden / "aave" / "tvl_summary_2025-11-13.csv").open())
    rows = list(csv.DictReader((golden / "aave" / "tvl_assets_2025-11-13.csv").open()))
    assert (reserves, status) == (55, "complete") and reserves == int(summary["n_assets"])
    assert gross == pytest.approx(float(summary["tvl_usd"]), rel=1e-9)  # what they called TVL is gross supply
    assert debt == pytest.approx(sum(float(r["debt_usd"]) for r in rows), rel=1e-9)
    assert net == pytest.approx(sum(float(r["net_usd"]) for r in rows), rel=1e-9)
    assert round(gross / 1e9, 2) == 43.90 and round(net / 1e9, 2) == 26.07


def test_days_in_between_are_there_and_say_so(panel: Line) -> None:
    rows = panel.query("select panel_status, count(*) from csu_daily_panel group by 1 order by 1")
    assert rows == [("complete", 3), ("not_extracted", 9)]
