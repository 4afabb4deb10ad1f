"""The example sender on a real node: what it says it sent lands once, and what it should not sign it does not."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from operate.voting.watch.attempts import Attempts
from operate.voting.watch.sender import hand_over
from simulate.chain.anvil import anvil
from simulate.chain.rpc import Rpc

pytestmark = pytest.mark.node
CHAIN_ID = 31_337
COMMAND = shlex.join([sys.executable, str(Path(__file__).parents[3] / "docs" / "examples" / "local_sender.py")])
VOTER = Account.create()
TARGET = "0x" + "11" * 20
VOTE = {"chain_id": CHAIN_ID, "from": VOTER.address, "to": TARGET, "data": "0x1234", "gas": 100_000}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with anvil(CHAIN_ID, 1_700_000_000, tmp_path_factory.mktemp("node") / "states") as rpc:
        rpc.call("anvil_setBalance", VOTER.address, hex(10**18))
        yield rpc


@pytest.fixture(autouse=True)
def environment(node: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORESHORE_SENDER_URL", node.url)
    monkeypatch.setenv("FORESHORE_SENDER_KEY", VOTER.key.hex())


def count(node: Rpc, block: str = "latest") -> int:
    return int(node.call("eth_getTransactionCount", VOTER.address, block), 16)


def test_what_it_sends_lands_and_is_settled(node: Rpc, tmp_path: Path) -> None:
    before = count(node)
    log = Attempts(tmp_path / "attempts.jsonl")
    number = log.hand(1, "0xb10c", 0, VOTE).number
    answer = hand_over(COMMAND, VOTE, 30.0)
    log.answer(number, answer)
    assert answer.status == "answered", answer.reason
    node.call("evm_mine")
    receipt = node.call("eth_getTransactionReceipt", answer.transaction_hash)
    sent = node.call("eth_getTransactionByHash", answer.transaction_hash)
    log.settle(number, "landed")
    log.close()
    assert (receipt["status"], receipt["to"], sent["input"]) == ("0x1", TARGET, "0x1234")
    assert count(node) == before + 1
    assert log.pending == ()


@pytest.mark.parametrize(
    ("change", "environ", "words"),
    [
        ({"chain_id": 8453}, {}, "another chain"),
        ({"from": TARGET}, {}, "not that of the vote's sender"),
        ({}, {"FORESHORE_SENDER_URL": "https://rpc.example"}, "loopback only"),
        ({}, {"FORESHORE_SENDER_KEY": "feedfacefeedface"}, "is not a private key"),
    ],
)
def test_what_it_should_not_sign_it_refuses(
    node: Rpc, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], environ: dict[str, str], words: str
) -> None:
    before = count(node, "pending")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    answer = hand_over(COMMAND, {**VOTE, **change}, 30.0)
    assert (answer.status, answer.transaction_hash) == ("failed", None)
    assert words in answer.reason
    assert "feedface" not in answer.reason
    assert count(node, "pending") == before
