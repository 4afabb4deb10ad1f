"""Recorded receipts and logs through the families: what the line would land of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.evm.abi import Event
from extract.evm.views import view
from extract.evm.wire import parse_any
from extract.lending.days import day_at
from extract.lending.families import FAMILIES
from extract.lending.families.base import MOVE, Legs, State
from extract.lending.liquidations import occurrences

pytestmark = pytest.mark.golden
AAVE = FAMILIES["aave_v3"]
RULE = AAVE.events[0]
WETH, USDC = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"


def recorded(path: Path, action: str) -> list[Any]:
    entries = json.loads(path.read_text())
    return [e["response"]["result"] for e in entries if e["query"]["action"] == action]


def legs_of(logs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Legs]]:
    """Every liquidation among the logs with its meaning."""
    event = Event(RULE.signature)
    table = parse_any(json.dumps(logs, separators=(",", ":")).encode())
    table = table.filter(pa.compute.equal(table["topic0"], event.topic0))
    found = []
    for log, values in zip(table.to_pylist(), event.decode(table).to_pylist(), strict=True):
        assert values["decode_status"] == "ok"
        exact = values | {k.removesuffix("_text"): int(v) for k, v in values.items() if k.endswith("_text")}
        found.append((log, AAVE.legs(RULE.kind, exact, {}, State())))
    return found


def test_the_recorded_liquidation_is_what_its_transaction_asked_for(golden: Path) -> None:
    cassette = golden / "rpc_cassettes" / "aave_v3_liquidation_ethereum.json"
    [receipt] = recorded(cassette, "eth_getTransactionReceipt")
    [asked] = recorded(cassette, "eth_getTransactionByHash")
    [(log, legs)] = legs_of(receipt["logs"])
    given = [asked["input"][10 + 64 * i : 74 + 64 * i] for i in range(5)]  # liquidationCall(...)
    assert asked["input"][:10] == view("liquidationCall(address,address,address,uint256,bool)").selector
    assert (legs.collateral_asset, legs.debt_asset) == ("0x" + given[0][24:], "0x" + given[1][24:]) == (WETH, USDC)
    assert legs.borrower == "0x" + given[2][24:]
    assert legs.debt is not None and 0 < legs.debt <= int(given[3], 16)
    assert legs.liquidator == asked["from"]
    assert log["address"] == asked["to"]
    transfer = Event("Transfer(address indexed from, address indexed to, uint256 value)")
    table = parse_any(json.dumps(receipt["logs"], separators=(",", ":")).encode())
    moved = transfer.decode(table.filter(pa.compute.equal(table["address"], WETH))).to_pylist()
    received = [int(m["value_text"]) for m in moved if m["decode_status"] == "ok" and m["to"] == asked["from"]]
    assert legs.collateral_token_amount in received  # receiveAToken was false: the asset itself changed hands


def test_a_hundred_liquidations_by_day_and_borrower(golden: Path) -> None:
    lines = (golden / "aave" / "liquidation_logs_ethereum_2025-11-02_03_ny.ndjson").read_text().splitlines()
    found = legs_of([json.loads(line) for line in lines])
    days = Counter(day_at(log["block_timestamp"]).name for log, _ in found)
    assert days == {"2025-11-02": 6, "2025-11-03": 94}
    assert len({(log["transaction_hash"], log["log_index"]) for log, _ in found}) == 100
    assert all(legs.debt and legs.collateral_token_amount and legs.liquidator and legs.borrower for _, legs in found)


def test_withdrawals_of_a_comet_are_no_liquidations(golden: Path) -> None:
    cassette = golden / "rpc_cassettes" / "compound_v3_balances_ethereum.json"
    receipts = recorded(cassette, "eth_getTransactionReceipt")
    logs = json.dumps([log for receipt in receipts for log in receipt["logs"]], separators=(",", ":")).encode()
    found = [(one.rule.kind, one.values) for one in occurrences(parse_any(logs), FAMILIES["compound_v3"])]
    assert len(receipts) == 4 and len(found) >= 4
    assert {kind for kind, _ in found} == {MOVE} and all(values is not None for _, values in found)
