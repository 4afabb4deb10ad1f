"""A chain under our hand: transactions wait for their block, blocks get exact times, every receipt is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak
from rlp import encode as rlp_encode

from simulate.chain.contracts import MULTICALL3, Contract, calldata, multicall3_code
from simulate.chain.rpc import Request, Rpc

GAS = 12_000_000


def account(name: str) -> str:
    """A stable address for a named actor."""
    return "0x" + keccak(text=f"foreshore {name}")[-20:].hex()


@dataclass
class Chain:
    """Blocks and transactions over JSON-RPC. `number` and `timestamp` are those of the newest block."""

    rpc: Rpc
    timestamp: int
    number: int = 0
    hashes: list[str] = field(default_factory=list)
    _waiting: list[Request] = field(default_factory=list)
    _busy: list[int] = field(default_factory=list)
    _nonces: dict[str, int] = field(default_factory=dict)
    _doomed: set[int] = field(default_factory=set)  # places of transactions that must revert

    def send(self, sender: str, to: str, function: str, *arguments: Any, value: int = 0, reverts: bool = False) -> int:
        """Queue a transaction for the next block; returns its place among all (its hash will be `hashes[place]`).

        One that `reverts` is sent all the same, and must.
        """
        paid = {"value": hex(value)} if value else {}
        place = self._transact({"from": sender, "to": to, "data": calldata(function, *arguments), **paid})
        if reverts:
            self._doomed.add(place)
        return place

    def together(self, sender: str, calls: Sequence[tuple[Any, ...]]) -> int:
        """Queue one transaction of several calls `(to, function, arguments...)`, whose sender is Multicall3."""
        packed = [(to, False, bytes.fromhex(calldata(function, *rest)[2:])) for to, function, *rest in calls]
        return self.send(sender, MULTICALL3, "aggregate3((address,bool,bytes)[])", packed)

    def deploy(self, sender: str, contract: Contract, *arguments: Any) -> str:
        """Queue a deployment; returns the address it will have."""
        address = keccak(rlp_encode([bytes.fromhex(sender[2:]), self._nonces.get(sender, 0)]))[-20:].hex()
        self._transact({"from": sender, "data": contract.deployment(*arguments)})
        return "0x" + address

    def _transact(self, fields: dict[str, Any]) -> int:
        nonce = self._nonces.get(fields["from"], 0)
        self._nonces[fields["from"]] = nonce + 1
        common = {"gas": hex(GAS), "gasPrice": "0x0", "nonce": hex(nonce)}
        self._waiting.append(("eth_sendTransaction", [{**fields, **common}]))
        return len(self.hashes) + len(self._waiting) - 1

    def place_multicall3(self) -> None:
        """Put Multicall3 where it stands on public chains; its code counts as part of the newest block already."""
        self.rpc.call("anvil_setCode", MULTICALL3, multicall3_code())

    def mine(self, timestamp: int) -> int:
        """One block at `timestamp` with everything queued; returns its number."""
        if timestamp < self.timestamp:
            raise ValueError(f"block time {timestamp} lies before {self.timestamp}")
        self.flush()
        self.rpc.call("evm_mine", {"timestamp": timestamp})
        self.number += 1
        self.timestamp = timestamp
        return self.number

    def flush(self) -> None:
        """Send everything queued, one by one: the node works through a batch in no fixed order."""
        if self._waiting:
            self._busy.append(self.number + 1)
        for method, params in self._waiting:
            self.hashes.append(self.rpc.call(method, *params))
        self._waiting = []

    def check(self) -> int:
        """Every transaction so far went as meant; returns how many there were."""
        doomed, seen = {self.hashes[place] for place in self._doomed}, 0
        for start in range(0, len(self._busy), 50):
            blocks = self._busy[start : start + 50]
            for number, receipts in zip(
                blocks, self.rpc.batch([("eth_getBlockReceipts", [hex(n)]) for n in blocks]), strict=True
            ):
                bad = [
                    r["transactionHash"] for r in receipts if (r["status"] == "0x1") == (r["transactionHash"] in doomed)
                ]
                if bad:
                    raise RuntimeError(f"block {number}: transactions of the agents did not go as meant: {bad[:3]}")
                seen += len(receipts)
        return seen

    def view(self, to: str, function: str, *arguments: Any) -> str:
        """Return data of a view call at the newest block."""
        return str(self.rpc.call("eth_call", {"to": to, "data": calldata(function, *arguments)}, "latest"))
