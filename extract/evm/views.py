"""View calls by signature, and the words of their replies. Empty is never 0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Protocol

from extract.evm.abi import Function
from extract.evm.calls import Call, Reply


class Views(Protocol):
    """Whoever answers view calls at blocks: a chain's client, or what stands in front of one."""

    @property
    def chain_id(self) -> int: ...

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        """One reply per call, in order, for each (block, calls)."""
        ...


@cache
def view(signature: str) -> Function:
    return Function(signature)


@lru_cache(maxsize=65_536)
def call(target: str, signature: str, *arguments: object) -> Call:
    """A view call, made once: from block to block the same are asked."""
    return Call(target, view(signature).encode(*arguments))


def word(reply: Reply, index: int = 0) -> int | None:
    """The 32-byte word at `index` as an unsigned integer; None unless the reply is whole. Empty is never 0."""
    return _number(_word(reply, index))


def text(reply: Reply, index: int = 0) -> str | None:
    """`word` in decimal digits, as raw tables hold integers."""
    return _digits(_word(reply, index))


def _word(reply: Reply, index: int) -> bytes:
    """The 32 bytes, and no more of a long answer; fewer where it is not whole."""
    return reply.data[32 * index : 32 * (index + 1)] if reply.status == "ok" else b""


# Read once: from block to block most words are what they were.
@lru_cache(maxsize=65_536)
def _number(data: bytes) -> int | None:
    return int.from_bytes(data, "big") if len(data) == 32 else None


@lru_cache(maxsize=65_536)
def _digits(data: bytes) -> str | None:
    value = _number(data)
    return None if value is None else str(value)


def status(reply: Reply, index: int = 0) -> str:
    """`ok`, or why there is no number: missing, reverted, no_archive_state, malformed."""
    if reply.status == "ok" and len(reply.data) < 32 * (index + 1):
        return "malformed"
    return reply.status


def address(reply: Reply) -> str | None:
    """The address in a one-word reply, lower-case; None when missing or zero."""
    return _hex_address(_word(reply, 0))


@lru_cache(maxsize=65_536)
def _hex_address(data: bytes) -> str | None:
    value = _number(data)
    return None if not value else f"0x{value:040x}"
