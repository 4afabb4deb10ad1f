"""The embedded chain's clock in our hand: blocks at the pace we choose, to the boundary, over the flip and beyond."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from extract.errors import ForeshoreError

BLOCK_SECONDS = 2
FLIP_AFTER = 11  # seconds from the boundary to the flip, as on Base
GAS = hex(12_000_000)
UPDATE_PERIOD = "0xed29fc11"  # update_period() of the minter


class Node:
    """The embedded chain's node, asked without ceremony."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, *params: object) -> Any:
        """The result of a call; ForeshoreError for a refusal, or where it is no node that lets its clock be moved."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            reply = json.loads(answer.read())
        if "error" in reply:
            raise ForeshoreError(f"the embedded chain refuses {method}: {reply['error'].get('message')}")
        return reply["result"]

    @property
    def now(self) -> int:
        """Chain time of the newest block."""
        return int(self.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mine(self, timestamp: int) -> None:
        self.ask("evm_mine", {"timestamp": timestamp})


def turn(node: Node, exchanges: Mapping[str, Mapping[str, str]], boundary: int, until: int) -> None:
    """Over the boundary: the epoch's flip on each exchange, then blocks until `until`.

    A watch that needed longer than its blocks leaves a chain that is past the boundary: the flip comes later then, and
    as many blocks follow it.
    """
    late = max(0, node.now - boundary)
    for after in range(late + 1, FLIP_AFTER, BLOCK_SECONDS):
        node.mine(boundary + after)
    for exchange in exchanges.values():
        asked = {
            "from": exchange["admin"],
            "to": exchange["minter"],
            "data": UPDATE_PERIOD,
            "gas": GAS,
            "gasPrice": "0x0",
        }
        node.ask("eth_sendTransaction", asked)
    late = max(0, late + 1 - FLIP_AFTER)
    for at in range(boundary + FLIP_AFTER + late, until + late, BLOCK_SECONDS):
        node.mine(at)
