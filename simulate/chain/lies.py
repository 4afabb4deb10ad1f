"""Answers in good form that are not true, and words in no form at all: what a client must never believe.

Each lie bends one request, one reply or the wire in one way. `LIES` says what each does; `faults` strikes with them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, Final

Reply = dict[str, Any]
BOMB_BYTES: Final = 200 * 2**20  # unpacked; some 200 KB on the wire

# --- requests: another question than the one that was asked

STATE: Final = ("eth_call", "eth_getCode")


def other_state(call: Reply, back: int, head: int) -> Reply:
    """The state of a block `back` blocks before the one asked for (0: of the newest)."""
    if call["method"] not in STATE or not isinstance(call["params"][1], str):
        return call
    asked = call["params"][1]
    number = int(asked, 16) if asked.startswith("0x") else head
    return {**call, "params": [call["params"][0], hex(max(number - back, 1) if back else head), *call["params"][2:]]}


def other_header(call: Reply, back: int, head: int) -> Reply:
    """The header of another block."""
    asked = call["params"][0] if call["method"] == "eth_getBlockByNumber" else "latest"
    if not str(asked).startswith("0x"):
        return call
    return {**call, "params": [hex(max(int(asked, 16) - back, 0)), False]}


def fewer_blocks(call: Reply, back: int, head: int) -> Reply:
    """Logs of the range without its last `back` blocks, as a backend that is behind gives them."""
    wanted = call["params"][0] if call["method"] == "eth_getLogs" else {}
    if "toBlock" not in wanted:
        return call
    first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16) - back
    nobody = {"address": "0x" + "0" * 40} if last < first else {}
    return {**call, "params": [{**wanted, "toBlock": hex(max(first, last)), **nobody}]}


REQUESTS: Final[dict[str, Callable[[Reply, int, int], Reply]]] = {
    "other_state": other_state,
    "latest_state": lambda call, _, head: other_state(call, 0, head),
    "wrong_header": other_header,
    "behind_logs": fewer_blocks,
}

# --- results


def _headers(change: Callable[[Reply], Reply]) -> Callable[[str, Any], Any]:
    def bend(method: str, result: Any) -> Any:
        return {**result, **change(result)} if method == "eth_getBlockByNumber" and isinstance(result, dict) else result

    return bend


def _logs(change: Callable[[list[Reply]], Any]) -> Callable[[str, Any], Any]:
    def bend(method: str, result: Any) -> Any:
        return change(result) if method == "eth_getLogs" and isinstance(result, list) else result

    return bend


def _each(change: Callable[[Reply], Reply]) -> Callable[[str, Any], Any]:
    return _logs(lambda logs: [{**log, **change(log)} for log in logs])


def _states(change: Callable[[str], Any]) -> Callable[[str, Any], Any]:
    def bend(method: str, result: Any) -> Any:
        return change(result) if method == "eth_call" and isinstance(result, str) else result

    return bend


def _time(log: Reply, change: Callable[[int], Any]) -> Reply:
    return {"blockTimestamp": change(int(log["blockTimestamp"], 16))} if "blockTimestamp" in log else {}


def _same_number(logs: list[Reply]) -> list[Reply]:
    """Every second log of a block takes the number of the one before it."""
    found = [dict(log) for log in logs]
    for before, log in pairwise(found):
        if before["blockNumber"] == log["blockNumber"]:
            log["logIndex"] = before["logIndex"]
    return found


OTHER = "0x" + "de" * 32
RESULTS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "empty_state": _states(lambda _: "0x"),
    "zero_state": _states(lambda text: "0x" + "0" * (len(text) - 2)),
    "cut_state": _states(lambda text: text[: max(2, len(text) - 64)]),
    "odd_state": _states(lambda text: text + "z"),
    "null_state": _states(lambda _: None),
    "number_state": _states(lambda _: 7),
    "header_of_ms": _headers(lambda h: {"timestamp": hex(int(h["timestamp"], 16) * 1000)}),
    "header_an_hour_off": _headers(lambda h: {"timestamp": hex(int(h["timestamp"], 16) - 3600)}),
    "header_other_hash": _headers(lambda h: {"hash": OTHER}),
    "header_other_parent": _headers(lambda h: {"parentHash": OTHER}),
    "header_decimal": _headers(lambda h: {"number": str(int(h["number"], 16))}),
    "header_huge": _headers(lambda h: {"number": "0x" + "f" * 5000}),
    "header_unicode": _headers(lambda h: {"number": "0x\u0661\u0662"}),
    "header_short_hash": _headers(lambda h: {"hash": "0x12"}),
    "dropped_logs": _logs(lambda logs: logs[::2]),
    "no_logs": _logs(lambda logs: []),
    "null_logs": _logs(lambda logs: logs or None),
    "repeated_logs": _logs(lambda logs: logs + logs[:1]),
    "reordered_logs": _logs(lambda logs: logs[::-1]),
    "foreign_address": _each(lambda log: {"address": "0x" + "fe" * 20}),
    "foreign_topic": _each(lambda log: {"topics": [OTHER, *log["topics"][1:]]}),
    "foreign_block": _each(lambda log: {"blockNumber": hex(int(log["blockNumber"], 16) + 10**6)}),
    "removed_logs": _each(lambda log: {"removed": True}),
    "logs_other_hash": _each(lambda log: {"blockHash": OTHER}),
    "logs_same_number": _logs(_same_number),
    "log_time_zero": _each(lambda log: _time(log, lambda t: "0x0")),
    "log_time_ms": _each(lambda log: _time(log, lambda t: hex(t * 1000))),
    "log_time_decimal": _each(lambda log: _time(log, str)),
    "log_time_number": _each(lambda log: _time(log, lambda t: t)),
    "log_time_an_hour_off": _each(lambda log: _time(log, lambda t: hex(t - 3600))),
    "empty_log": _logs(lambda logs: [*logs, {}]),
    "log_odd_data": _each(lambda log: {"data": log["data"] + "q"}),
    "log_huge_number": _each(lambda log: {"blockNumber": "0x" + "f" * 40}),
    "log_unicode_index": _each(lambda log: {"logIndex": "0x\u0663"}),
}

# --- errors and envelopes

REPLIES: Final[dict[str, Callable[[Reply], Reply]]] = {
    "bare_error": lambda r: {"jsonrpc": "2.0", "id": r["id"], "error": "the cistern is full"},
    "code_as_text": lambda r: {
        "jsonrpc": "2.0",
        "id": r["id"],
        "error": {"code": "-32603", "message": "Internal error"},
    },
    "endless_error": lambda r: {"jsonrpc": "2.0", "id": r["id"], "error": {"code": -32000, "message": "9" * 5000}},
    "error_without_words": lambda r: {"jsonrpc": "2.0", "id": r["id"], "error": {}},
    "text_id": lambda r: {**r, "id": "not yours"},
    "unicode_id": lambda r: {**r, "id": "\u00b2"},
    "no_result": lambda r: {"jsonrpc": "2.0", "id": r["id"]},
}

# --- bodies

BODIES: Final[dict[str, tuple[bytes, dict[str, str]]]] = {
    "html": (b"<html><body>Sign in to the hotel's network</body></html>", {}),
    "deep_json": (b"[" * 100_000, {}),
    "endless_number": (b'{"jsonrpc":"2.0","id":0,"result":' + b"9" * 5_000 + b"}", {}),
    "cut_gzip": (gzip.compress(b'{"jsonrpc":"2.0","id":0,"result":"0x1"}' * 50)[:-20], {"Content-Encoding": "gzip"}),
    "no_gzip": (b"this was never packed", {"Content-Encoding": "gzip"}),
}


@cache
def bomb() -> bytes:
    """A small gzip body that unpacks to BOMB_BYTES of blanks."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    piece = b" " * 2**20
    return b"".join(pack.compress(piece) for _ in range(BOMB_BYTES // len(piece))) + pack.flush()


LIES: Final = frozenset(
    {*REQUESTS, *RESULTS, *REPLIES, *BODIES, "gzip_bomb", "slow_body", "redirect", "long_wait", "swapped_ids"}
)
