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
    return _word(reply.data, index) if reply.status == "ok" else None


@lru_cache(maxsize=65_536)
def _word(data: bytes, index: int) -> int | None:
    """Read once: from block to block most words are what they were."""
    return int.from_bytes(data[32 * index : 32 * (index + 1)], "big") if len(data) >= 32 * (index + 1) else None


def text(reply: Reply, index: int = 0) -> str | None:
    """`word` in decimal digits, as raw tables hold integers."""
    return _text(reply.data, index) if reply.status == "ok" else None


@lru_cache(maxsize=65_536)
def _text(data: bytes, index: int) -> str | None:
    value = _word(data, index)
    return None if value is None else str(value)


def status(reply: Reply, index: int = 0) -> str:
    """`ok`, or why there is no number: missing, reverted, no_archive_state, malformed."""
    if reply.status == "ok" and len(reply.data) < 32 * (index + 1):
        return "malformed"
    return reply.status


def address(reply: Reply) -> str | None:
    """The address in a one-word reply, lower-case; None when missing or zero."""
    return _address(reply.data) if reply.status == "ok" else None


@lru_cache(maxsize=65_536)
def _address(data: bytes) -> str | None:
    value = _word(data, 0)
    return None if not value else f"0x{value:040x}"
