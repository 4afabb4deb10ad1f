"""What goes wrong on demand: each fault bends a request or its answer in one way, and the answer stays plausible."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from simulate.chain.lies import LIES, REPLIES, RESULTS
from simulate.chain.profiles import Refused

Reply = dict[str, Any]
TAGS: Final = ("latest", "safe", "finalized", "pending")
STATE_READS: Final = {  # method -> which parameter is the block
    "eth_call": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
}
KINDS: Final = {  # kind -> what its value is
    "status": "HTTP status in place of the answer",
    "malformed": "nothing: the answer breaks off in the middle",
    "reset": "nothing: the connection is reset",
    "hang": "seconds before a 504",
    "rpc_error": "[code, message] for every call",
    "chain_id": "the wrong chain id",
    "lag": "blocks that the newest one lies back",
    "truncate": "number of logs kept of each answer",
    "no_archive": "number of newest blocks whose state is kept; null: of the named tags only",
    "reorg": "number of the block whose hash is another one",
    "wrong_id": "nothing: the answer has another id",
    "one_header": "[block number, seconds]: only that header's time is off",
    "drop_items": "nothing: half of a batch's answers are missing",
}
NO_ARCHIVE = Refused(-32000, "missing trie node 5e1a (path ) state is not available")
NO_HEADER = Refused(-32000, "header not found")


@dataclass
class Fault:
    """One of `KINDS` or `lies.LIES`, for a profile and methods (None: all); `count` more requests (None: for ever)."""

    kind: str
    value: Any = None
    profile: str | None = None
    methods: list[str] | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS and self.kind not in LIES:
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join((*KINDS, *sorted(LIES)))}")

    def strikes(self, profile: str, methods: list[str]) -> bool:
        """Whether it hits this request; counts itself down."""
        if self.count == 0 or self.profile not in (None, profile):
            return False
        if self.methods is not None and not set(self.methods) & set(methods):
            return False
        if self.count is not None:
            self.count -= 1
        return True

    def hits(self, method: str) -> bool:
        return self.methods is None or method in self.methods


def refuse(call: Reply, fault: Fault, head: int) -> Refused | None:
    """The faults that are an error reply."""
    method = call["method"]
    if fault.kind == "rpc_error":
        return Refused(*fault.value)
    if method not in STATE_READS:
        return None
    block = _number(call["params"], STATE_READS[method])
    if fault.kind == "no_archive" and block is not None and (fault.value is None or block < head - fault.value):
        return NO_ARCHIVE
    if fault.kind == "lag" and block is not None and block > head - int(fault.value):
        return NO_HEADER
    return None


def lagging(call: Reply, head: int) -> Reply:
    """The request as a node understands it whose newest block is `head`: tags mean it, a range of logs ends there."""
    params = [hex(head) if isinstance(value, str) and value in TAGS else value for value in call["params"]]
    span = log_range(params[0], head) if call["method"] == "eth_getLogs" else None
    if span is not None:
        first, last = span
        if first > head:
            return {**call, "params": [{"address": "0x" + "0" * 40, "fromBlock": hex(head), "toBlock": hex(head)}]}
        params[0] = {**params[0], "fromBlock": hex(first), "toBlock": hex(min(last, head))}
    return {**call, "params": params}


def log_range(wanted: Reply, head: int) -> tuple[int, int] | None:
    """First and last block of a filter of logs, where tags mean `head`; None for a filter by a block's hash."""

    def number(value: str) -> int:
        return int(value, 16) if value.startswith("0x") else 0 if value == "earliest" else head

    if "blockHash" in wanted:
        return None
    return number(wanted.get("fromBlock") or "latest"), number(wanted.get("toBlock") or "latest")


def bend(call: Reply, reply: Reply, fault: Fault, head: int) -> Reply:
    """A valid reply, made wrong."""
    method, result = call["method"], reply.get("result")
    if fault.kind == "chain_id" and method in ("eth_chainId", "net_version"):
        return {**reply, "result": hex(int(fault.value)) if method == "eth_chainId" else str(fault.value)}
    if fault.kind == "lag" and method == "eth_blockNumber":
        return {**reply, "result": hex(head - int(fault.value))}
    if fault.kind == "lag" and method == "eth_getBlockByNumber":
        number = _number(call["params"], 0)
        return {**reply, "result": None} if number is not None and number > head - int(fault.value) else reply
    if fault.kind == "one_header" and method == "eth_getBlockByNumber" and isinstance(result, dict):
        number, seconds = fault.value
        off = hex(int(result["timestamp"], 16) + seconds) if int(result["number"], 16) == number else None
        return {**reply, "result": {**result, "timestamp": off}} if off else reply
    if fault.kind == "truncate" and method == "eth_getLogs" and isinstance(result, list):
        return {**reply, "result": result[: int(fault.value)]}
    if fault.kind in RESULTS and "result" in reply:
        return {**reply, "result": RESULTS[fault.kind](method, result)}
    if fault.kind in REPLIES:
        return REPLIES[fault.kind](reply)
    if fault.kind == "wrong_id":
        return {**reply, "id": 987_654_321}
    return reply


def other_hash(true_hash: str) -> str:
    """A stable stand-in for a block hash."""
    return "0x" + hashlib.sha256(true_hash.encode()).hexdigest()


def _number(params: list[Any], position: int) -> int | None:
    value = params[position] if len(params) > position else None
    return int(value, 16) if isinstance(value, str) and value.startswith("0x") else None
