"""Real receipts and return data, decoded, against what other parts of the same recording say."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from extract.evm.abi import Event, Function
from extract.evm.grid import read_grid
from extract.evm.wire import parse_any, parse_logs

pytestmark = pytest.mark.golden

TRANSFER = Event("Transfer(address indexed from, address indexed to, uint256 value)")
LIQUIDATION = Event(
    "LiquidationCall(address indexed collateralAsset, address indexed debtAsset, address indexed user, "
    "uint256 debtToCover, uint256 liquidatedCollateralAmount, address liquidator, bool receiveAToken)"
)
VOTED = Event(
    "Voted(address indexed voter, address indexed pool, uint256 indexed tokenId, uint256 weight, "
    "uint256 totalWeight, uint256 timestamp)"
)
ABSTAINED = Event(VOTED.signature.replace("Voted", "Abstained"))
DEPOSIT = Event("Deposit(address indexed from, uint256 indexed tokenId, uint256 amount)")


class Cassette:
    """A recording: the results by the action that was asked for."""

    def __init__(self, path: Path) -> None:
        self.entries = json.loads(path.read_text())

    def results(self, action: str) -> list[Any]:
        return [e["response"]["result"] for e in self.entries if e["query"]["action"] == action]

    def one(self, action: str) -> Any:
        [result] = self.results(action)
        return result


def table(logs: list[dict[str, Any]]) -> pa.Table:
    body = json.dumps(logs, separators=(",", ":")).encode()
    assert read_grid(body) is not None
    logs_table = parse_logs(body)
    order = [("log_index", "ascending")]
    assert logs_table.sort_by(order).equals(parse_any(body).sort_by(order))
    return logs_table.sort_by(order)


def ok(event: Event, logs: pa.Table) -> list[dict[str, Any]]:
    return [row for row in event.decode(logs).to_pylist() if row["decode_status"] == "ok"]


def words(data: str, count: int) -> list[int]:
    """The first words after a selector, read without the code under test."""
    return [int(data[10 + 64 * i : 74 + 64 * i], 16) for i in range(count)]


def test_aave_liquidation(golden: Path) -> None:
    cassette = Cassette(golden / "rpc_cassettes" / "aave_v3_liquidation_ethereum.json")
    transaction, receipt = cassette.one("eth_getTransactionByHash"), cassette.one("eth_getTransactionReceipt")
    logs = table(receipt["logs"])
    [call] = ok(LIQUIDATION, logs)
    collateral, debt, user, *_ = words(transaction["input"], 5)
    asked_for = [f"0x{number:040x}" for number in (collateral, debt, user)]
    assert [call["collateralAsset"], call["debtAsset"], call["user"]] == asked_for
    assert call["liquidator"] == transaction["from"] and call["receiveAToken"] is False
    assert (int(call["debtToCover"]), int(call["liquidatedCollateralAmount"])) == (0x1D3D626, 0x431E03DCE7AAE8)
    transfers = TRANSFER.decode(logs).to_pylist()
    moved = {
        (address, int(row["value"]))
        for address, row in zip(logs["address"].to_pylist(), transfers, strict=True)
        if row["decode_status"] == "ok"
    }
    assert (call["debtAsset"], int(call["debtToCover"])) in moved
    assert (call["collateralAsset"], int(call["liquidatedCollateralAmount"])) in moved
    assert Counter(row["decode_status"] for row in transfers) == {"ok": 6, "malformed": 8}


def test_aerodrome_vote(golden: Path) -> None:
    cassette = Cassette(golden / "rpc_cassettes" / "aerodrome_vote_base.json")
    transaction, receipt = cassette.one("eth_getTransactionByHash"), cassette.one("eth_getTransactionReceipt")
    block = cassette.one("eth_getBlockByNumber")
    logs = table(receipt["logs"])
    [vote], [abstained] = ok(VOTED, logs), ok(ABSTAINED, logs)
    token_id, pool = words(transaction["input"], 5)[0], words(transaction["input"], 5)[4]
    assert vote["tokenId"] == token_id == 3_251
    assert (vote["voter"], vote["pool"]) == (transaction["from"], f"0x{pool:040x}")
    assert vote["timestamp"] == int(block["timestamp"], 16) == 1_741_030_415
    deposits = ok(DEPOSIT, logs)
    assert [int(d["amount"]) for d in deposits] == [int(vote["weight"])] * 2  # fee and bribe contract
    assert int(vote["weight"]) == int(abstained["weight"]) == 0x61D97F895E670F5B22
    assert vote["totalWeight_text"] == str(0xB10723BB8595876BCD)
    assert logs["block_timestamp"].to_pylist() == [1_741_030_415] * 6


def test_comet_return_data(golden: Path) -> None:
    cassette = Cassette(golden / "rpc_cassettes" / "compound_v3_balances_ethereum.json")
    recorded = [e for e in cassette.entries if e["query"]["action"] == "eth_call"]
    calls = [(e["query"]["data"], e["response"]["result"]) for e in recorded]
    senders = [t["from"] for t in cassette.results("eth_getTransactionByHash")]
    aggregate = Function("aggregate((address,bytes)[])", returns="uint256,bytes[]")
    comet, weth = "0xc3d688b66703497daa19211eedff47f25384cdc3", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
    borrow = Function("borrowBalanceOf(address)", returns="uint256")
    collateral = Function("userCollateral(address,address)", returns="uint128,uint128")
    asked = [borrow.encode(senders[0]), collateral.encode(senders[-1], weth)]
    answers = []
    for (data, result), inner in zip(calls[1:], asked, strict=True):
        assert aggregate.encode([(comet, bytes.fromhex(inner[2:]))]) == data
        block, [answer] = aggregate.decode(bytes.fromhex(result[2:]))
        assert block == 23_698_206
        answers.append(answer)
    assert borrow.decode(answers[0]) == 0x38094CAE3
    assert collateral.decode(answers[1]) == (int(calls[2][1][-128:-64], 16), 0)


def test_a_hundred_liquidations_by_new_york_day(golden: Path) -> None:
    lines = (golden / "aave" / "liquidation_logs_ethereum_2025-11-02_03_ny.ndjson").read_text().splitlines()
    logs = table([json.loads(line) for line in lines])
    decoded = LIQUIDATION.decode(logs)
    assert decoded["decode_status"].unique().to_pylist() == ["ok"] and logs.num_rows == 100
    keys = set(zip(logs["transaction_hash"].to_pylist(), logs["log_index"].to_pylist(), strict=True))
    assert len(keys) == 100
    new_york = ZoneInfo("America/New_York")
    moments = [datetime.fromtimestamp(t, UTC) for t in logs["block_timestamp"].to_pylist()]
    days = Counter(moment.astimezone(new_york).date() for moment in moments)
    assert {day.isoformat(): count for day, count in days.items()} == {"2025-11-02": 6, "2025-11-03": 94}
