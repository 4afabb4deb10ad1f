"""A chain that answers view calls from a book, and small protocols written into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa
from eth_abi.abi import encode as abi_encode

from extract.evm.abi import Event
from extract.evm.blocks import Block
from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.logs import LogChunk
from extract.evm.views import call
from extract.evm.wire import LOG_SCHEMA
from extract.lending.families.base import At, Family, Memory, State
from extract.lending.registry import Csu

BLOCK, NOW = 20_000_000, 1_735_000_000


def addr(number: int) -> str:
    """A made-up address."""
    return f"0x{number:040x}"


def words(*values: int | str) -> bytes:
    """Return data of one word per value; texts are hex addresses."""
    return b"".join((int(v, 16) if isinstance(v, str) else v).to_bytes(32, "big") for v in values)


def address_list(*values: str) -> bytes:
    return words(32, len(values), *values)


@dataclass
class Book:
    """What contracts answer, by call. Anything else is missing: no contract there."""

    answers: dict[Call, bytes | str] = field(default_factory=dict)  # text: the status of a reply without data
    logs: list[dict[str, Any]] = field(default_factory=list)
    everything: str | None = None  # a status that overrules all answers
    asked: list[Call] = field(default_factory=list)
    scans: list[tuple[int, int]] = field(default_factory=list)

    def put(self, target: str, signature: str, *arguments: object, gives: bytes | str) -> None:
        self.answers[call(target, signature, *arguments)] = gives

    async def read(self, calls: Sequence[Call], block: int) -> list[Reply]:
        self.asked += calls
        return [self._reply(c) for c in calls]

    def _reply(self, asked: Call) -> Reply:
        answer = self.everything or self.answers.get(asked, "missing")
        return Reply(answer, b"", "fake") if isinstance(answer, str) else Reply("ok", answer, "fake")

    async def block_at_or_before(self, timestamp: int) -> Block:
        return Block(timestamp // 1200, timestamp, "0x", "0x")

    async def logs_of(self, topics: Sequence[str], first: int, last: int) -> AsyncIterator[LogChunk]:
        self.scans.append((first, last))
        rows = [r for r in self.logs if first <= r["block_number"] <= last and r["topic0"] in topics]
        middle = (first + last) // 2
        for low, high in ((first, middle), (middle + 1, last)):
            part = [r for r in rows if low <= r["block_number"] <= high]
            yield LogChunk(low, high, pa.Table.from_pylist(part, schema=LOG_SCHEMA), "fake")

    def emit(self, block: int, emitter: str, event: Event, **values: Any) -> dict[str, Any]:
        """Write a log into the book, encoded as the event says."""
        row = log_row(block, len(self.logs), emitter, event, **values)
        self.logs.append(row)
        return row


class _Client:
    """The part of ChainClient that a family uses."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.read, self.block_at_or_before = book.read, book.block_at_or_before

    def logs(self, emitters: Sequence[str], topics: Sequence[Any], first: int, last: int) -> AsyncIterator[LogChunk]:
        return self.book.logs_of(topics[0], first, last)


def log_row(block: int, index: int, emitter: str, event: Event, **values: Any) -> dict[str, Any]:
    def one(type_: str, value: Any) -> str:
        return "0x" + abi_encode([type_], [bytes.fromhex(value[2:]) if type_ == "bytes32" else value]).hex()

    indexed = [one(p.type, values[p.name]) for p in event.parameters if p.indexed]
    plain = [p for p in event.parameters if not p.indexed]
    data = abi_encode([p.type for p in plain], [values[p.name] for p in plain])
    topics = [event.topic0, *indexed, None, None, None][:4]
    return {
        "block_number": block,
        "block_timestamp": NOW,
        "block_hash": f"0x{block:064x}",
        "transaction_hash": f"0x{block:064x}",
        "transaction_index": 0,
        "log_index": index,
        "address": emitter,
        **{f"topic{i}": topic for i, topic in enumerate(topics)},
        "data": "0x" + data.hex(),
    }


def decoded(row: dict[str, Any], event: Event) -> dict[str, Any]:
    """A log as the line decodes it: exact integers by name."""
    [values] = event.decode(pa.Table.from_pylist([row], schema=LOG_SCHEMA)).to_pylist()
    assert values["decode_status"] in ("ok", "overflow")
    return {k: (int(values[f"{k}_text"]) if f"{k}_text" in values else v) for k, v in values.items()}


def a_csu(family: str, registry: str = addr(1), **values: Any) -> Csu:
    return Csu(f"{family}_test", family, "ethereum", 1, registry, **values)


def at(book: Book, block: int = BLOCK, timestamp: int = NOW) -> At:
    return At(cast(ChainClient, _Client(book)), block, timestamp)


def read(family: Family, book: Book, csu: Csu, memory: Memory | None = None, timestamp: int = NOW) -> State:
    """The CSU as the family reads it from the book."""
    return asyncio.run(family.read(at(book, timestamp=timestamp), csu, memory or Memory()))
